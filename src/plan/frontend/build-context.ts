import { cleanPath } from '../../wire/fsutil/go-path.ts';
import { parseGoBool } from '../../wire/go-bool.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { IgnoreFileError, readIgnoreFile } from '../dockerfile/ignore-file.ts';
import { marshalGraph } from '../llb/definition.ts';
import { fileVertex } from '../llb/file.ts';
import { definitionEdge } from '../llb/from-definition.ts';
import { parseGitReference } from '../llb/git-url.ts';
import { gitSource, httpSource, localSource } from '../llb/source.ts';
import type { Edge, SourceMap } from '../llb/vertex.ts';
import { looksLikeArchive } from './archive.ts';
import type { FrontendHost, SolvedFiles } from './host.ts';
import type { FrontendOptions } from './options.ts';

/** Something the plan needs that could not be fetched or read. */
class BuildContextError extends Error {
  override readonly name = 'BuildContextError';
}

/** Name of the file that a downloaded context becomes. */
const DOWNLOAD = 'context';
const HEAD_BYTES = 1024;
const IGNORE_FILE = '.dockerignore';

/** What a build reads from: the main context and the Dockerfile. One serves all platforms. */
export interface BuildContext {
  /** The Dockerfile, and the graph that loaded it. */
  readonly dockerfile: SourceMap & { readonly definition: Definition };
  /** The main context when it is no directory of the client. */
  readonly remote: Edge | undefined;
  /** Patterns of files that the context lacks; none for a remote one. */
  ignorePatterns(signal: AbortSignal): Promise<readonly string[]>;
  /** The main context; of a directory only what is needed of it, which is asked for when the graph is written. */
  mainContext(excludes: readonly string[], followPaths: () => readonly string[]): Edge;
}

interface Roots {
  readonly contextName: string;
  readonly dockerfileName: string;
  readonly filename: string;
  readonly context: Edge | undefined;
  readonly dockerfile: Edge | undefined;
}

/** Finds the context and reads the Dockerfile. @throws BuildContextError, GitUrlError */
export async function loadBuildContext(
  host: FrontendHost,
  options: FrontendOptions,
  signal: AbortSignal,
): Promise<BuildContext> {
  const roots = await findRoots(host, options, signal);
  const sessionOf = (name: string) => options.localSessions.get(name) ?? host.sessionID;
  const source = roots.dockerfile ?? dockerfileSource(roots, sessionOf(roots.dockerfileName));
  const { definition, files } = await solve(host, source, 'failed to resolve dockerfile', signal);
  const data = await readDockerfile(files, roots.filename, signal);
  const ownIgnoreFile = await readOptional(files, `${roots.filename}${IGNORE_FILE}`, signal);
  let patterns: Promise<readonly string[]> | undefined;

  const readPatterns = async (): Promise<readonly string[]> => {
    if (ownIgnoreFile !== undefined) return parseIgnoreFile(ownIgnoreFile, `${roots.filename}${IGNORE_FILE}`);
    const ignoreSource = localSource(roots.contextName, {
      name: `[internal] load ${IGNORE_FILE}`,
      session: sessionOf(roots.contextName),
      followPaths: [IGNORE_FILE],
      sharedKeyHint: `${roots.contextName}-${IGNORE_FILE}`,
      differ: 'none',
    });
    const data = await loadIgnoreFile(host, ignoreSource, signal);
    return parseIgnoreFile(data ?? new Uint8Array(), IGNORE_FILE);
  };

  return {
    dockerfile: { filename: roots.filename, language: 'Dockerfile', data, definition },
    remote: roots.context,
    ignorePatterns: async () => {
      if (roots.context !== undefined) return [];
      patterns ??= readPatterns();
      return patterns;
    },
    mainContext: (excludes, followPaths) =>
      roots.context ??
      localSource(
        roots.contextName,
        {
          name: '[internal] load build context',
          session: sessionOf(roots.contextName),
          excludePatterns: excludes,
          sharedKeyHint: roots.contextName,
        },
        () => ({ followPaths: followPaths() }),
      ),
  };
}

async function findRoots(host: FrontendHost, options: FrontendOptions, signal: AbortSignal): Promise<Roots> {
  const { raw } = options;
  const forcedDockerfile = raw.get('dockerfilekey');
  const names = {
    contextName: 'context',
    dockerfileName: forcedDockerfile ?? 'dockerfile',
    filename: options.filename ?? 'Dockerfile',
  };
  const url = raw.get(raw.get('contextkey') ?? 'context') ?? '';
  const scoped = (context: Edge) => scopeTo(context, raw.get('contextsubdir'));
  const own = (dockerfile: Edge | undefined) => (forcedDockerfile === undefined ? dockerfile : undefined);

  const git = gitContext(url, options);
  if (git !== undefined) return { ...names, context: scoped(git), dockerfile: own(git) };

  if (/^https?:\/\//.test(url)) {
    const download = httpSource(url, { filename: DOWNLOAD, name: '[internal] load remote build context' });
    const { files } = await solve(host, download, 'failed to resolve httpcontext', signal);
    const head = await readRequired(files, DOWNLOAD, 'failed to read downloaded context', signal, HEAD_BYTES);
    if (!looksLikeArchive(head)) {
      return { ...names, filename: DOWNLOAD, context: scoped(download), dockerfile: own(download) };
    }
    const unpacked = fileVertex({
      base: undefined,
      actions: [{ kind: 'copy', from: download, src: `/${DOWNLOAD}`, dest: '/', attemptUnpack: true }],
    });
    return { ...names, context: scoped(unpacked), dockerfile: own(unpacked) };
  }

  const inputs = await host.inputs(signal);
  const edgeOf = (name: string) => {
    const definition = inputs.get(name);
    return definition === undefined ? undefined : definitionEdge(definition);
  };
  const context = edgeOf('context');
  return {
    ...names,
    context: context === undefined ? undefined : scoped(context),
    dockerfile: own(edgeOf(names.dockerfileName)),
  };
}

function gitContext(url: string, options: FrontendOptions): Edge | undefined {
  const keepGitDir = parseGoBool(options.buildArgs.get('BUILDKIT_CONTEXT_KEEP_GIT_DIR') ?? '') === true;
  const withTime = Boolean(options.buildArgs.get('SOURCE_DATE_EPOCH'));
  return gitContextSource(url, { keepGitDir, commitTime: withTime });
}

/** The git repository that a context names; undefined when it names none. @throws GitUrlError */
export function gitContextSource(
  url: string,
  { keepGitDir = false, commitTime = false }: { readonly keepGitDir?: boolean; readonly commitTime?: boolean } = {},
): Edge | undefined {
  const reference = url === '' ? undefined : parseGitReference(url);
  if (reference === undefined) return undefined;
  const { ref, subdir, checksum, mtime, fetchByCommit } = reference;
  const time = mtime ?? (commitTime ? 'commit' : undefined);
  return gitSource(reference.remote, {
    name: `[internal] load git source ${url}`,
    keepGitDir: keepGitDir || reference.keepGitDir === true,
    skipSubmodules: reference.submodules === false,
    ...(ref === undefined ? {} : { ref }),
    ...(subdir === undefined ? {} : { subdir }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(time === undefined ? {} : { mtime: time }),
    ...(fetchByCommit === undefined ? {} : { fetchByCommit }),
  });
}

function scopeTo(context: Edge, dir: string | undefined): Edge {
  if (dir === undefined) return context;
  return fileVertex({
    base: undefined,
    actions: [{ kind: 'copy', from: context, src: dir, dest: '/', dirCopyContents: true }],
  });
}

function dockerfileSource({ filename, dockerfileName }: Roots, session: string): Edge {
  const followPaths = [filename, `${filename}${IGNORE_FILE}`];
  const other = lowerCaseName(filename);
  if (other !== undefined) followPaths.push(other);
  return localSource(dockerfileName, {
    name: `[internal] load build definition from ${filename}`,
    session,
    followPaths,
    sharedKeyHint: dockerfileName,
    differ: 'none',
  });
}

/** `dockerfile` beside a `Dockerfile` is taken too (moby/moby#10858). */
function lowerCaseName(filename: string): string | undefined {
  const slash = filename.lastIndexOf('/');
  if (filename.slice(slash + 1) !== 'Dockerfile') return undefined;
  return cleanPath(`${filename.slice(0, slash + 1)}dockerfile`);
}

async function readDockerfile(files: SolvedFiles, filename: string, signal: AbortSignal): Promise<Uint8Array> {
  const other = lowerCaseName(filename);
  try {
    return await readRequired(files, filename, 'failed to read dockerfile', signal);
  } catch (error) {
    const data = other === undefined ? undefined : await readOptional(files, other, signal);
    if (data === undefined) throw error;
    return data;
  }
}

/** Solves a graph that stands for itself. */
export async function solve(
  host: FrontendHost,
  edge: Edge,
  what: string,
  signal: AbortSignal,
): Promise<{ readonly definition: Definition; readonly files: SolvedFiles }> {
  const { definition } = marshalGraph(edge, { platform: host.buildPlatforms[0] });
  try {
    return { definition, files: await host.solve(definition, signal) };
  } catch (cause) {
    signal.throwIfAborted();
    throw contextError(what, cause);
  }
}

/** The ignore file of the context; undefined without one, or without a context: who needs the context says so. */
async function loadIgnoreFile(host: FrontendHost, source: Edge, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    const { files } = await solve(host, source, `failed to load ${IGNORE_FILE}`, signal);
    return await files.readFile(IGNORE_FILE, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** The file, or undefined when it cannot be read for whatever reason. */
export async function readOptional(
  files: SolvedFiles,
  path: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await files.readFile(path, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

async function readRequired(
  files: SolvedFiles,
  path: string,
  what: string,
  signal: AbortSignal,
  length?: number,
): Promise<Uint8Array> {
  try {
    return await files.readFile(path, signal, length);
  } catch (cause) {
    signal.throwIfAborted();
    throw contextError(what, cause);
  }
}

/** The patterns of an ignore file. @throws BuildContextError */
export function parseIgnoreFile(data: Uint8Array, filename: string): readonly string[] {
  try {
    return readIgnoreFile(new TextDecoder('utf-8', { ignoreBOM: true }).decode(data));
  } catch (cause) {
    if (!(cause instanceof IgnoreFileError)) throw cause;
    throw contextError(`failed parsing ${filename}`, cause);
  }
}

function contextError(what: string, cause: unknown): BuildContextError {
  return new BuildContextError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}
