import { parseGitRemote } from '../../plan/llb/git-url.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { parseReference } from '../../wire/oci/reference.ts';
import type { KeyPart } from '../status/event.ts';
import { redactUrl, SourceError, type SourceKey } from './source-key.ts';

/** A git source, read out of its op. */
export interface GitIdentifier {
  /** What `git` is given. */
  readonly remote: string;
  /** Empty when not given. */
  readonly ref: string;
  /** Clean, without a leading slash; empty for the whole tree. */
  readonly subdir: string;
  readonly checksum: string;
  readonly keepGitDir: boolean;
  readonly skipSubmodules: boolean;
  readonly fetchByCommit: boolean;
  readonly checkoutBundle: boolean;
  /** Times of the files: of the checkout or of the commit. */
  readonly mtime: string;
  readonly authTokenSecret: string;
  readonly authHeaderSecret: string;
  readonly knownSshHosts: string;
  /** Id of the forwarded agent; empty when none is used. */
  readonly sshId: string;
  /** Where a bundle of the repository is found; empty when it is fetched from the remote. */
  readonly bundle: string;
  /** The layout that the bundle is in, if it is in one and its locator does not say. */
  readonly bundleStore: string;
  readonly signaturePublicKey: string;
}

/** What a git source resolved to. */
export interface GitMetadata {
  /** The full name of the ref that was taken, or the object id when one was named. */
  readonly ref: string;
  /** Object id that the ref names: of a commit or of an annotated tag. */
  readonly object: string;
  /** The commit behind an annotated tag. */
  readonly commit: string | undefined;
}

const OBJECT_ID = /^(?:[a-f0-9]{40}|[a-f0-9]{64})$/;

/** Whether the text is a whole object id of git, SHA-1 or SHA-256. */
export function isObjectId(text: string): boolean {
  return OBJECT_ID.test(text);
}

/**
 * Reads a git source.
 * @param text the identifier behind `git://`: `host/path#ref:subdir`
 * @throws SourceError
 */
export function parseGitSource(text: string, attrs: Readonly<Record<string, string>>): GitIdentifier {
  const url = parseGitRemote(hasTransport(text) ? text : `https://${text}`);
  const flag = (name: string) => attrs[name] === 'true';
  const full = attrs['git.fullurl'];
  const id: GitIdentifier = {
    remote: full === undefined ? url.remote : hasTransport(full) ? full : `https://${full}`,
    ref: url.ref,
    subdir: url.subdir,
    checksum: attrs['git.checksum'] ?? '',
    keepGitDir: flag('git.keepgitdir'),
    skipSubmodules: flag('git.skipsubmodules'),
    fetchByCommit: flag('git.fetchbycommit'),
    checkoutBundle: flag('git.checkoutbundle'),
    mtime: attrs['git.mtime'] ?? '',
    authTokenSecret: attrs['git.authtokensecret'] ?? '',
    authHeaderSecret: attrs['git.authheadersecret'] ?? '',
    knownSshHosts: attrs['git.knownsshhosts'] ?? '',
    sshId: attrs['git.mountsshsock'] ?? '',
    bundle: attrs['git.bundle'] ?? '',
    bundleStore: attrs['oci.store'] ?? '',
    signaturePublicKey: attrs['git.sig.pubkey'] ?? '',
  };
  check(id);
  return id;
}

function hasTransport(text: string): boolean {
  return /^(?:https?|ssh|git):\/\//i.test(text) || /^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:/.test(text);
}

function check(id: GitIdentifier): void {
  // git would read it as an option.
  if (id.ref.startsWith('-')) throw new SourceError(`invalid git ref "${id.ref}"`);
  if (id.remote.startsWith('-')) throw new SourceError(`invalid git URL "${id.remote}"`);
  if (id.checksum !== '' && !/^[a-fA-F0-9]+$/.test(id.checksum)) {
    throw new SourceError(`invalid checksum ${id.checksum} for Git URL, expected hex commit hash`);
  }
  if (id.bundle !== '') checkBundleLocator(id.bundle);
  if (id.bundle !== '' && id.checksum === '') throw new SourceError('git.bundle requires git.checksum to be set');
  if (isObjectId(id.ref) && !id.ref.startsWith(id.checksum)) {
    throw new SourceError(`expected checksum to match ${id.checksum}, got ${id.ref}`);
  }
  if (id.checkoutBundle && id.keepGitDir) {
    throw new SourceError('git.checkoutbundle is incompatible with git.keepgitdir');
  }
  if (id.checkoutBundle && id.subdir !== '') {
    throw new SourceError('git.checkoutbundle is incompatible with git.subdir');
  }
}

function checkBundleLocator(locator: string): void {
  const failure = (what: string, cause?: unknown) =>
    new SourceError(`failed to parse git.bundle locator "${locator}": ${what}`, { cause });
  const end = locator.indexOf('://');
  if (end < 0) throw failure('missing scheme');
  const scheme = locator.slice(0, end);
  if (scheme !== 'docker-image+blob' && scheme !== 'oci-layout+blob') {
    throw new SourceError(
      `git.bundle locator scheme "${scheme}" is not supported; expected "docker-image+blob" or "oci-layout+blob"`,
    );
  }
  let digest: Digest | undefined;
  try {
    ({ digest } = parseReference(locator.slice(end + '://'.length)));
  } catch (cause) {
    throw failure(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (digest === undefined) throw failure('invalid digest');
}

/**
 * What is known of a source without asking the remote: a commit that is named by its id.
 * @throws SourceError when the commit to fetch is not named in full
 */
export function resolveGitStatically(id: GitIdentifier): GitMetadata | undefined {
  if (isObjectId(id.ref)) return { ref: id.ref, object: id.ref, commit: undefined };
  // A bundle is asked only for what a name means.
  if (id.bundle !== '' && id.ref === '') return { ref: id.checksum, object: id.checksum, commit: undefined };
  if (!id.fetchByCommit || id.bundle !== '') return undefined;
  if (id.checksum === '') throw new SourceError('fetch-by-commit requires a checksum or a commit SHA ref');
  if (!isObjectId(id.checksum)) {
    throw new SourceError(`fetch-by-commit requires a full commit SHA checksum, got "${id.checksum}"`);
  }
  const branch = id.ref === '' || id.ref.startsWith('refs/') ? id.ref : `refs/heads/${id.ref}`;
  return { ref: branch === '' ? id.checksum : branch, object: id.checksum, commit: undefined };
}

/**
 * Takes the ref out of what `git ls-remote` printed: the full name first, then a branch, then a tag.
 * @param wanted the ref as asked for, or the default branch
 * @throws SourceError when the repository has none of them, or it is not the expected commit
 */
export function chooseRef(id: GitIdentifier, wanted: string, listing: string): GitMetadata {
  const ids = new Map(
    listing
      .split('\n')
      .map(line => line.split('\t'))
      .map(([object = '', name = '']): [string, string] => [name, object]),
  );
  const full = `refs/${strip(wanted, 'refs/')}`;
  const head = `refs/heads/${strip(wanted, 'refs/heads/')}`;
  const tag = `refs/tags/${strip(wanted, 'refs/tags/')}`;
  const ref = [full, head, tag].find(name => ids.has(name));
  const object = ref === undefined ? undefined : ids.get(ref);
  if (ref === undefined || object === undefined) {
    throw new SourceError(`repository does not contain ref ${wanted}, output: ${JSON.stringify(listing)}`);
  }
  if (!isObjectId(object)) throw new SourceError(`invalid commit sha "${object}"`);
  // A name that was given in full shadows nothing: what is behind a tag counts, unless a branch was taken.
  const behind = ref === tag ? ids.get(`${tag}^{}`) : undefined;
  if (id.checksum !== '' && !object.startsWith(id.checksum) && !(behind ?? '').startsWith(id.checksum)) {
    const got = behind === undefined ? object : `${object} or ${behind}`;
    throw new SourceError(`expected checksum to match ${id.checksum}, got ${got}`);
  }
  return { ref, object, commit: id.keepGitDir ? undefined : behind };
}

function strip(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}

/** The key of a checkout. */
export function gitKey(id: GitIdentifier, metadata: GitMetadata): SourceKey {
  const object = metadata.commit ?? metadata.object;
  const gitDir = id.keepGitDir ? `.git${metadata.ref === '' ? '' : `#${metadata.ref}`}` : '';
  const mtime = id.mtime === '' || id.mtime === 'checkout' ? '' : `(mtime=${id.mtime})`;
  const key = [
    object,
    gitDir,
    id.subdir === '' ? '' : `:${id.subdir}`,
    id.skipSubmodules ? '(skip-submodules)' : '',
    mtime,
    id.checkoutBundle ? '(bundle)' : '',
  ].join('');
  const parts: KeyPart[] = [{ kind: 'git', name: redactUrl(id.remote), value: object }];
  const add = (name: string, value: string) => parts.push({ kind: 'git', name, value });
  if (id.keepGitDir) add('keep .git of', metadata.ref);
  if (id.subdir !== '') add('directory', id.subdir);
  if (id.skipSubmodules) add('submodules', 'skipped');
  if (mtime !== '') add('times', id.mtime);
  if (id.checkoutBundle) add('form', 'bundle');
  return { key, parts };
}
