/** Runs the container of a RUN step. */
import { chmodSync, chownSync, readdirSync, rmdirSync } from 'node:fs';
import { posix } from 'node:path';
import { ExitError } from '../../host/runtime/exit-error.ts';
import type { Runtime } from '../../host/runtime/runtime.ts';
import type { NetworkMode, StepMount } from '../../host/runtime/step.ts';
import { statFile } from '../../host/system/stat.ts';
import { readXattrs } from '../../host/system/xattr.ts';
import { DEFAULT_PATH } from '../../plan/frontend/image-draft.ts';
import { resolvePath } from '../../store/snapshot/file-tree.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { copyDirectory } from '../ops/file/copy-tree.ts';
import { makeDirectories } from '../ops/file/make-directories.ts';
import { isDirectory, rootPath, S_IFDIR, S_IFMT } from '../ops/file/root-path.ts';
import type { LayerID } from '../ops/ref.ts';
import { snapshotRef } from '../ops/ref.ts';
import { contentsOf, copySource } from '../ops/ref-contents.ts';
import type { ContainerConfig } from './container-config.ts';
import { LegacyBuildError, messageOf } from './error.ts';

/** How the containers of a build are run, whatever the step. */
export interface RunSettings {
  readonly network: NetworkMode;
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent: string | undefined;
  /** Bytes of `/dev/shm`. */
  readonly shmSize: number | undefined;
}

/** One container. */
export interface ContainerRequest {
  readonly id: string;
  /** The mounted root. */
  readonly rootfs: string;
  /** The layers of the image that it is made of. */
  readonly layers: readonly LayerID[];
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly config: ContainerConfig;
  readonly settings: RunSettings;
  readonly write: (data: string | Uint8Array) => void;
}

/**
 * Runs a command to its end. Volumes are new directories with what the image has there; what is written to them is lost.
 * @throws LegacyBuildError with the exit code of a command that failed
 */
export async function runContainer(
  { id, rootfs, layers, command, env, config, settings, write }: ContainerRequest,
  runtime: Runtime,
  store: LayerStore,
  signal: AbortSignal,
): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const mounts: StepMount[] = [];
  for (const volume of config.volumes) {
    mounts.push({
      kind: 'bind',
      target: volume,
      source: await openVolume(volume, rootfs, layers, store, cleanup, signal),
    });
  }
  if (settings.shmSize !== undefined) mounts.push({ kind: 'tmpfs', target: '/dev/shm', size: settings.shmSize });
  const hostname = id.slice(0, 12);
  try {
    await runtime.run({
      id,
      rootfs,
      meta: {
        args: command,
        env: containerEnvironment(hostname, env),
        cwd: config.workingDir === '' ? '/' : config.workingDir,
        user: config.user,
        hostname,
        extraHosts: settings.extraHosts,
        ulimits: settings.ulimits,
        removeMountStubsRecursive: true,
        ...(settings.cgroupParent === undefined ? {} : { cgroupParent: settings.cgroupParent }),
      },
      mounts,
      network: settings.network,
      security: 'sandbox',
      stdout: write,
      stderr: chunk => write(Buffer.concat([Buffer.from('\x1b[91m'), chunk, Buffer.from('\x1b[0m')])),
      signal,
    });
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ExitError)) throw new LegacyBuildError(messageOf(cause), { cause });
    const { exitCode } = cause;
    const said = `The command '${command.join(' ')}' returned a non-zero code: ${exitCode}`;
    throw new LegacyBuildError(said, { cause, exitCode });
  }
}

/** What docker sets comes first, so that the image's own values take its place. */
function containerEnvironment(hostname: string, env: readonly string[]): string[] {
  const merged = new Map([
    ['PATH', `PATH=${DEFAULT_PATH}`],
    ['HOSTNAME', `HOSTNAME=${hostname}`],
  ]);
  for (const entry of env) merged.set(entry.split('=', 1)[0] ?? entry, entry);
  return [...merged.values()];
}

async function openVolume(
  volume: string,
  rootfs: string,
  layers: readonly LayerID[],
  store: LayerStore,
  cleanup: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<string> {
  const place = rootPath(toBytePath(rootfs), toBytePath(volume));
  if (statFile(systemPath(place)) !== undefined && !isDirectory(place)) {
    throw new LegacyBuildError(`cannot mount volume over existing file, file exists ${volume}`);
  }
  // Docker's runtime leaves the mount point in the image.
  makeDirectories(place, { mode: 0o755 });
  const { upper } = cleanup.use(await store.prepare([], signal));
  const source = await copySource(snapshotRef(layers), store, signal);
  const { node } = resolvePath(source.tree, toBytePath(volume), true);
  if (node?.type === 'dir') {
    chownSync(upper, node.uid, node.gid);
    chmodSync(upper, node.mode);
    await copyDirectory(source, node, upper, [], signal);
  }
  return upper;
}

/** What the runtime makes if an image lacks it. */
const RUNTIME_DIRECTORIES = ['proc', 'sys', 'dev'];

/**
 * Takes out of a step's layer what only the mounts of its container brought there: directories that were copied as they
 * were, to hold a mount point for a while. Docker has a layer of its own for that.
 */
export async function removeMountTraces(
  upper: string,
  layers: readonly LayerID[],
  volumes: readonly string[],
  store: LayerStore,
  signal: AbortSignal,
): Promise<void> {
  if (readdirSync(upper).length === 0) return;
  const { tree } = await contentsOf(snapshotRef(layers), store, signal);
  const holders = ['/etc', ...volumes.map(volume => posix.dirname(posix.resolve('/', volume)))];
  for (const holder of new Set(holders)) {
    for (
      let name = toBytePath(holder).slice(1);
      name !== '';
      name = name.slice(0, Math.max(0, name.lastIndexOf('/')))
    ) {
      const now = statFile(systemPath(`${toBytePath(upper)}/${name}`));
      const { node } = resolvePath(tree, name, false);
      if (now === undefined || node?.type !== 'dir') continue;
      const { mode, uid, gid } = node.status;
      if (now.mode === mode && now.uid === uid && now.gid === gid) removeIfEmpty(`${toBytePath(upper)}/${name}`);
    }
  }
  for (const name of RUNTIME_DIRECTORIES) {
    if (tree.child(tree.root, name) === undefined) removeIfEmpty(`${toBytePath(upper)}/${name}`);
  }
}

function removeIfEmpty(path: BytePath): void {
  const status = statFile(systemPath(path));
  if (status === undefined || (status.mode & S_IFMT) !== S_IFDIR) return;
  if (readdirSync(systemPath(path)).length > 0 || isOpaque(path)) return;
  rmdirSync(systemPath(path));
}

/** Whether a directory of a layer hides what lies below it. */
function isOpaque(path: BytePath): boolean {
  return [...readXattrs(systemPath(path)).keys()].some(name => name.endsWith('.overlay.opaque'));
}
