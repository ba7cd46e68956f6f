import type { Digest } from '../../wire/oci/digest.ts';
import { isDigest } from '../../wire/oci/digest.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { parseGitReference } from '../llb/git-url.ts';
import { gitSource, httpSource } from '../llb/source.ts';
import type { Edge, VertexOptions } from '../llb/vertex.ts';
import { COMMAND_KEY } from './resolve-bases.ts';

/** What ADD says about a source that is no path. */
export interface RemoteAdd {
  /** Empty when not given. */
  readonly checksum: string;
  readonly keepGitDir: boolean | undefined;
}

interface RemoteSource {
  readonly edge: Edge;
  /** What of it is copied. */
  readonly path: string;
  readonly isDownload: boolean;
}

/**
 * The git repository or download that a source of ADD names; undefined for a path. Without `add` there must be none.
 * @throws DockerfileError, GitUrlError
 */
export function remoteSource(source: string, add: RemoteAdd | undefined, name: string): RemoteSource | undefined {
  const git = gitReferenceOf(source);
  if (git !== undefined) {
    if (add === undefined) throw new DockerfileError("source can't be a git ref for COPY", []);
    return { edge: gitEdge(git, add, { name }), path: '/', isDownload: false };
  }
  if (/^https?:\/\//.test(source)) {
    if (add === undefined) throw new DockerfileError("source can't be a URL for COPY", []);
    const options = { name, description: { [COMMAND_KEY]: '' } };
    return { edge: downloadEdge(source, add.checksum, options), path: `/${downloadName(source)}`, isDownload: true };
  }
  if (add !== undefined && add.checksum !== '') {
    throw new DockerfileError('checksum requires HTTP(S) or Git sources', []);
  }
  return undefined;
}

type GitReference = NonNullable<ReturnType<typeof parseGitReference>>;

function gitReferenceOf(source: string): GitReference | undefined {
  const git = parseGitReference(source);
  return git?.looksLikePath ? undefined : git;
}

function gitEdge(git: GitReference, add: RemoteAdd, options: VertexOptions): Edge {
  if (add.keepGitDir !== undefined && git.keepGitDir !== undefined && add.keepGitDir !== git.keepGitDir) {
    throw new DockerfileError('inconsistent keep-git-dir configuration', []);
  }
  if (add.checksum !== '' && git.checksum !== undefined && add.checksum !== git.checksum) {
    throw new DockerfileError(`checksum mismatch "${add.checksum}" != "${git.checksum}"`, []);
  }
  const checksum = git.checksum ?? add.checksum;
  return gitSource(git.remote, {
    ...options,
    keepGitDir: git.keepGitDir ?? add.keepGitDir ?? false,
    skipSubmodules: git.submodules === false,
    ...(git.ref === undefined ? {} : { ref: git.ref }),
    ...(git.subdir === undefined ? {} : { subdir: git.subdir }),
    ...(checksum === '' ? {} : { checksum }),
    ...(git.fetchByCommit === undefined ? {} : { fetchByCommit: git.fetchByCommit }),
  });
}

function downloadEdge(url: string, checksum: string, options: VertexOptions): Edge {
  const filename = downloadName(url);
  return httpSource(url, { ...options, filename, ...(checksum === '' ? {} : { checksum: digestOf(checksum) }) });
}

/** The last element of the path of a URL. */
function downloadName(url: string): string {
  const path = URL.canParse(url) ? decodePath(new URL(url).pathname) : '';
  const name = path.replace(/\/+$/, '').split('/').at(-1) ?? '';
  return name === '' ? '__unnamed__' : name;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function digestOf(text: string): Digest {
  if (isDigest(text)) return text;
  const [algorithm = '', hex] = text.split(':');
  const reason =
    hex === undefined || !/^[a-z0-9]+(?:[+._-][a-z0-9]+)*$/.test(algorithm)
      ? 'invalid checksum digest format'
      : algorithm === 'sha256'
        ? /^[0-9a-f]*$/.test(hex)
          ? 'invalid checksum digest length'
          : 'invalid checksum digest format'
        : 'unsupported digest algorithm';
  throw new DockerfileError(reason, []);
}
