import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseOciLayoutReference, resolveOciLayout } from '../../engine/source/oci-layout.ts';
import type { BuildRequest } from './request.ts';

/** A request that no builder can obey: a context that is not there, a name that means nothing. */
export class BuildRequestError extends Error {
  override readonly name = 'BuildRequestError';
}

/** A request as BuildKit's frontend and a session understand it. */
export interface FrontendRequest extends AsyncDisposable {
  /** Options of the frontend `dockerfile.v0`, in the names in which buildx sends them. */
  readonly options: ReadonlyMap<string, string>;
  /** Directories of the client by the name of the local source. */
  readonly localDirs: ReadonlyMap<string, string>;
  /** OCI layouts by the id of their store. */
  readonly ociLayouts: ReadonlyMap<string, string>;
}

/**
 * Translates a request into frontend options as buildx does. Temporary directories that stand for an empty context or a
 * Dockerfile from standard input live until the result is disposed.
 * @throws BuildRequestError for a named context that is not there, SourceError for an OCI layout that cannot be read.
 */
export async function frontendRequest(request: BuildRequest): Promise<FrontendRequest> {
  const options = new Map<string, string>();
  const localDirs = new Map<string, string>();
  const ociLayouts = new Map<string, string>();
  const temporary: string[] = [];
  const temporaryDir = async () => {
    const dir = await mkdtemp(join(tmpdir(), 'outcrop-'));
    temporary.push(dir);
    return dir;
  };
  const set = (key: string, value: string | undefined) => value !== undefined && options.set(key, value);

  const { context, dockerfile } = request;
  if (context.kind === 'remote') options.set('context', context.url);
  else localDirs.set('context', context.kind === 'directory' ? context.dir : await temporaryDir());
  if (dockerfile.kind === 'file') {
    localDirs.set('dockerfile', dockerfile.dir);
    options.set('filename', dockerfile.filename);
    if (context.kind === 'remote') options.set('dockerfilekey', 'dockerfile');
  } else if (dockerfile.kind === 'text') {
    const dir = await temporaryDir();
    await writeFile(join(dir, 'Dockerfile'), dockerfile.text);
    localDirs.set('dockerfile', dir);
    options.set('filename', 'Dockerfile');
    options.set('dockerfilekey', 'dockerfile');
  } else options.set('filename', dockerfile.filename);

  set('target', request.target);
  for (const [name, value] of request.buildArgs) options.set(`build-arg:${name}`, value);
  if (request.sourceDateEpoch !== undefined && !request.buildArgs.has('SOURCE_DATE_EPOCH')) {
    options.set('build-arg:SOURCE_DATE_EPOCH', request.sourceDateEpoch);
  }
  for (const [name, value] of request.labels) options.set(`label:${name}`, value);
  if (request.platforms.length > 0) options.set('platform', request.platforms.join(','));
  if (request.noCache === 'all') options.set('no-cache', '');
  else if (request.noCache.length > 0) options.set('no-cache', request.noCache.join(','));
  if (request.pull) options.set('image-resolve-mode', 'pull');
  if (request.network !== undefined)
    options.set('force-network-mode', request.network === 'default' ? 'sandbox' : request.network);
  if (request.addHosts.length > 0) options.set('add-hosts', request.addHosts.join(','));
  if (request.shmSize !== undefined) options.set('shm-size', String(request.shmSize));
  if (request.ulimits.length > 0) options.set('ulimit', request.ulimits.join(','));
  set('cgroup-parent', request.cgroupParent);
  for (const [name, source] of request.namedContexts)
    await addNamedContext(name, source, options, localDirs, ociLayouts);
  if (request.namedContexts.size > 0) options.set('frontend.caps', 'moby.buildkit.frontend.contexts+forward');
  return {
    options,
    localDirs,
    ociLayouts,
    async [Symbol.asyncDispose]() {
      for (const dir of temporary) await rm(dir, { recursive: true, force: true });
    },
  };
}

const REMOTE = /^(https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/|target:)/;

async function addNamedContext(
  name: string,
  source: string,
  options: Map<string, string>,
  localDirs: Map<string, string>,
  ociLayouts: Map<string, string>,
): Promise<void> {
  const key = `context:${name}`;
  if (REMOTE.test(source) || source.startsWith('docker-image://')) {
    options.set(key, source);
    return;
  }
  if (source.startsWith('oci-layout://')) {
    const reference = parseOciLayoutReference(source);
    const path = resolve(reference.path);
    const digest = await resolveOciLayout({ ...reference, path });
    const store = `layout-${ociLayouts.size}`;
    ociLayouts.set(store, path);
    options.set(key, `oci-layout://${store}@${digest}`);
    return;
  }
  const dir = resolve(source);
  const found = await stat(dir).catch(() => undefined);
  if (!found?.isDirectory()) {
    throw new BuildRequestError(
      `--build-context ${name}=${source}: ${found ? 'is no directory' : 'no such directory'}; give a directory, a URL, docker-image://REF or oci-layout://PATH`,
    );
  }
  const local = name === 'context' || name === 'dockerfile' ? `_${name}` : name;
  localDirs.set(local, dir);
  options.set(key, `local:${local}`);
  options.set(`sharedkey:localdir:${local}`, `${basename(dir)}:${nodeId()}`);
}

/** A stable id of this machine, for hints about where files come from; nothing depends on its value. */
function nodeId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim().slice(0, 16);
  } catch {
    return 'local';
  }
}
