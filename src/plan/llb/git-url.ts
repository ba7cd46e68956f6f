import { cleanPath } from '../../wire/fsutil/go-path.ts';

/** A text that names a git repository and says about it what cannot be. */
export class GitUrlError extends Error {
  override readonly name = 'GitUrlError';
}

/** Where a git repository is, without what is wanted of it. */
interface GitRemote {
  readonly scheme: 'http' | 'https' | 'ssh' | 'git';
  /** With its port, if it has one. */
  readonly host: string;
  readonly path: string;
  /** What `git` is given: without query and fragment. */
  readonly remote: string;
  /** Of the fragment `#ref:subdir`; empty when not given. */
  readonly ref: string;
  readonly subdir: string;
  readonly query: URLSearchParams;
}

const SCHEMED = /^([a-zA-Z0-9]+):\/\/(?:[^/?#]*@)?([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s;
const SCP = /^([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?$/;

/**
 * Reads `scheme://host/path`, `user@host:path` (ssh) or, without a scheme, `host/path` (https).
 * @throws GitUrlError when git does not speak the scheme
 */
export function parseGitRemote(text: string): GitRemote {
  const remote = splitRemote(text) ?? splitRemote(`https://${text}`);
  if (remote === undefined) throw new GitUrlError(`${text}: invalid git URL`);
  return remote;
}

function splitRemote(text: string): GitRemote | undefined {
  const scp = SCP.exec(text);
  if (scp !== null && !SCHEMED.test(text)) {
    const [, user, host = '', path = '', query, fragment] = scp;
    return { scheme: 'ssh', host, path, remote: `${user}@${host}:${path}`, ...wanted(query, fragment) };
  }
  const schemed = SCHEMED.exec(text);
  if (schemed === null) return undefined;
  const [, given = '', host = '', path = '', query, fragment] = schemed;
  const scheme = given.toLowerCase();
  if (scheme !== 'http' && scheme !== 'https' && scheme !== 'ssh' && scheme !== 'git') {
    throw new GitUrlError(`${scheme}: invalid protocol`);
  }
  const remote = `${scheme}${text.slice(given.length)}`.replace(/[?#].*$/s, '');
  return { scheme, host, path: decode(path), remote, ...wanted(query, fragment) };
}

function wanted(query: string | undefined, fragment = ''): Pick<GitRemote, 'ref' | 'subdir' | 'query'> {
  const colon = fragment.indexOf(':');
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const subdir = colon < 0 ? '' : cleanPath(`/${fragment.slice(colon + 1)}`).slice(1);
  return { ref: decode(ref), subdir: decode(subdir), query: new URLSearchParams(query) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A git repository as ADD and build contexts name it, and what of it is wanted. */
export interface GitReference {
  readonly remote: string;
  readonly ref?: string;
  readonly subdir?: string;
  readonly checksum?: string;
  readonly keepGitDir?: boolean;
  readonly submodules?: boolean;
  readonly mtime?: 'checkout' | 'commit';
  readonly fetchByCommit?: boolean;
  /** `github.com/…` without a scheme, which might as well be a path; only contexts take it for git. */
  readonly looksLikePath: boolean;
}

/**
 * What `text` wants of a git repository, or undefined when it names none (BuildKit's rules: `http` only with a path that ends
 * in `.git`, `git`, `ssh`, `user@host:path`, `github.com/…`).
 * @throws GitUrlError when it names one but its query cannot be
 */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith('./') || text.startsWith('../')) return undefined;
  const looksLikePath = text.startsWith('github.com/');
  if (!looksLikePath && !SCHEMED.test(text) && !SCP.test(text)) return undefined;
  const scheme = SCHEMED.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && !['http', 'https', 'ssh', 'git'].includes(scheme)) return undefined;
  const url = parseGitRemote(text);
  if (!looksLikePath && url.scheme.startsWith('http') && !url.path.endsWith('.git')) return undefined;
  const remote = looksLikePath ? url.remote.slice('https://'.length) : url.remote;
  return { remote, looksLikePath, ...readQuery(url) };
}

type Wanted = Omit<GitReference, 'remote' | 'looksLikePath'>;

function readQuery(url: GitRemote): Wanted {
  let { ref, subdir } = url;
  const rest: { -readonly [K in keyof Wanted]?: Wanted[K] } = {};
  const prefixed: { tag?: string; branch?: string } = {};
  for (const key of new Set(url.query.keys())) {
    const values = url.query.getAll(key);
    if (values.length > 1) throw new GitUrlError(`query "${key}" has multiple values`);
    const value = values[0] ?? '';
    if (value === '' && !['submodules', 'keep-git-dir', 'fetch-by-commit'].includes(key)) {
      throw new GitUrlError(`query "${key}" has no value`);
    }
    switch (key) {
      case 'ref':
        ref = agree('ref', ref, value);
        break;
      case 'subdir':
        subdir = agree('subdir', subdir, value);
        break;
      case 'tag':
      case 'branch':
        prefixed[key] = value;
        break;
      case 'checksum':
      case 'commit':
        rest.checksum = value;
        break;
      case 'keep-git-dir':
        rest.keepGitDir = parseFlag(key, value);
        break;
      case 'submodules':
        rest.submodules = parseFlag(key, value);
        break;
      case 'fetch-by-commit':
        rest.fetchByCommit = parseFlag(key, value);
        break;
      case 'mtime':
        if (value !== 'checkout' && value !== 'commit') {
          throw new GitUrlError(`invalid mtime value: "${value}" (must be "checkout" or "commit")`);
        }
        rest.mtime = value;
        break;
      default:
        throw new GitUrlError(`unexpected query "${key}"`);
    }
  }
  if (prefixed.tag !== undefined) ref = agree('ref', ref, withPrefix('refs/tags/', prefixed.tag));
  if (prefixed.branch !== undefined) {
    if (prefixed.tag !== undefined) throw new GitUrlError('branch conflicts with tag');
    ref = agree('ref', ref, withPrefix('refs/heads/', prefixed.branch));
  }
  return { ...(ref === '' ? {} : { ref }), ...(subdir === '' ? {} : { subdir }), ...rest };
}

function agree(what: string, before: string, now: string): string {
  if (before !== '' && before !== now) throw new GitUrlError(`${what} conflicts: "${before}" vs "${now}"`);
  return now;
}

function withPrefix(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

function parseFlag(key: string, value: string): boolean {
  if (/^(?:|1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new GitUrlError(`invalid ${key} value: "${value}"`);
}
