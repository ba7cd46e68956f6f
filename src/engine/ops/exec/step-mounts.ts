/** The mounts of an exec op, made ready for the runtime. */
import { chmodSync } from 'node:fs';
import { posix } from 'node:path';
import type { StepMount } from '../../../host/runtime/step.ts';
import { goQuote } from '../../../plan/dockerfile/go-text.ts';
import { digestOf } from '../../../wire/oci/digest.ts';
import { CacheSharingOpt, type ExecOp, type Mount, MountType } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { copyDirectory } from '../file/copy-tree.ts';
import type { ActiveSnapshot, OpContext } from '../op-context.ts';
import { InvalidOpError } from '../op-key.ts';
import { type LayerID, type Ref, type SnapshotRef, scratch, snapshotRef } from '../ref.ts';
import { copySource, lostXattrs, materialize } from '../ref-contents.ts';
import type { CacheMount, CacheSeed, CacheSharing } from './cache-mount.ts';

/** A secret or agent that a step needs is not there. */
export class MissingSecretError extends Error {
  override readonly name = 'MissingSecretError';
}

/** One result of an exec op: a layer in the making, or an input that is handed on. */
type ExecOutput =
  | { readonly active: ActiveSnapshot; readonly below: readonly LayerID[] }
  | { readonly ref: SnapshotRef };

/** All that a step sees. */
export interface StepMounts {
  /** The root directory, mounted. */
  readonly rootfs: string;
  readonly readonlyRootFs: boolean;
  readonly mounts: readonly StepMount[];
  /** In the order of the op's outputs. */
  readonly outputs: readonly ExecOutput[];
  /** Of each of the op's mounts the files that are a result or could be; none for caches, memory, secrets, agents. */
  readonly trees: readonly (ExecOutput | undefined)[];
  /** Where the files of each of the op's mounts lie on this machine while the step runs; none for memory, secrets, agents. */
  readonly places: readonly (string | undefined)[];
}

type MountContext = Pick<OpContext, 'layers' | 'cacheMounts' | 'secrets' | 'ssh'>;

/**
 * Prepares the mounts of a step. All that is made goes into `cleanup`: disposing that unmounts, and drops layers that were
 * not committed. Throws {@link InvalidOpError} and {@link MissingSecretError}.
 */
export async function prepareStepMounts(
  op: ExecOp,
  inputs: readonly Ref[],
  context: MountContext,
  cleanup: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<StepMounts> {
  const { layers } = context;
  const outputs: ExecOutput[] = [];
  const mounts: StepMount[] = [];
  const places: (string | undefined)[] = [];
  const trees = new Map<Mount, ExecOutput>();
  const caches = new Map<string, CacheMount>();
  let root: { readonly path: string; readonly readOnly: boolean } | undefined;

  async function inputOf(mount: Mount): Promise<Ref | undefined> {
    if (mount.input === -1n) return undefined;
    const ref = inputs[Number(mount.input)];
    if (!ref) throw new InvalidOpError(`missing input ${mount.input}`);
    return ref;
  }

  async function bindSource(mount: Mount, ref: Ref | undefined): Promise<string> {
    const { layers: below } = ref ? await materialize(ref, layers, signal) : scratch;
    const unwritten = mount.readonly && mount.dest !== '/' && below.length > 0;
    const active = unwritten ? undefined : cleanup.use(await layers.prepare(below, signal));
    const tree = active ? { active, below } : { ref: snapshotRef(below) };
    trees.set(mount, tree);
    if (mount.output !== -1n) outputs.push(tree);
    return active ? active.mount(signal) : cleanup.use(await layers.view(below, signal)).path;
  }

  async function cacheSource(mount: Mount, ref: Ref | undefined): Promise<string> {
    const options = mount.cacheOpt;
    if (!options) throw new InvalidOpError('missing cache mount options');
    const seed = ref && (await seedOf(ref, context, signal));
    const key = `${options.ID}:${seed?.identity}`;
    // Within one step a cache is one directory, however it is shared.
    let cache = caches.get(key);
    if (!cache) {
      const description = describeCache(mount, options.ID, op.meta?.args ?? []);
      const request = { id: options.ID, sharing: sharingOf(options.sharing), seed, description };
      cache = cleanup.use(await context.cacheMounts.acquire(request, signal));
      caches.set(key, cache);
    }
    if (mount.output !== -1n && ref) outputs.push({ ref: await materialize(ref, layers, signal) });
    return cache.path;
  }

  async function stepMount(mount: Mount, target: string): Promise<StepMount | undefined> {
    const readOnly = mount.readonly;
    switch (mount.mountType) {
      case MountType.BIND:
      case MountType.CACHE: {
        const ref = await inputOf(mount);
        const isCache = mount.mountType === MountType.CACHE;
        const source = isCache ? await cacheSource(mount, ref) : await bindSource(mount, ref);
        return { kind: 'bind', target, source, readOnly, ...(mount.selector !== '' && { selector: mount.selector }) };
      }
      case MountType.TMPFS:
        return { kind: 'tmpfs', target, readOnly, size: Number(mount.TmpfsOpt?.size ?? 0n) };
      case MountType.SECRET:
        return secretMount(mount, target, context, signal);
      case MountType.SSH:
        return sshMount(mount, target, context, signal);
      default:
        throw new InvalidOpError(`mount type ${mount.mountType} not implemented`);
    }
  }

  for (const mount of op.mounts) {
    if (mount.dest === '/' && mount.mountType === MountType.BIND) {
      root = { path: await bindSource(mount, await inputOf(mount)), readOnly: mount.readonly };
      places.push(root.path);
      continue;
    }
    const made = await stepMount(mount, posix.resolve('/', op.meta?.cwd ?? '/', mount.dest));
    places.push(made?.kind === 'bind' ? made.source : undefined);
    if (!made) continue;
    if (mount.dest === '/' && made.kind === 'bind') root = { path: made.source, readOnly: mount.readonly };
    else mounts.push(made);
  }
  if (!root) throw new InvalidOpError('invalid exec op with no rootfs');
  return {
    rootfs: root.path,
    readonlyRootFs: root.readOnly,
    mounts,
    outputs,
    trees: op.mounts.map(mount => trees.get(mount)),
    places,
  };
}

async function secretMount(
  mount: Mount,
  target: string,
  { secrets }: MountContext,
  signal: AbortSignal,
): Promise<StepMount | undefined> {
  const options = mount.secretOpt;
  if (!options) throw new InvalidOpError('invalid secret mount options');
  if (options.ID === '') throw new InvalidOpError('secret ID missing from mount options');
  const data = await secrets.get(options.ID, signal);
  if (data) return { kind: 'secret', target, data, mode: options.mode, uid: options.uid, gid: options.gid };
  if (options.optional) return undefined;
  throw new MissingSecretError(`secret ${options.ID}: not found`);
}

async function sshMount(
  mount: Mount,
  target: string,
  { ssh }: MountContext,
  signal: AbortSignal,
): Promise<StepMount | undefined> {
  const options = mount.SSHOpt;
  if (!options) throw new InvalidOpError('invalid ssh mount options');
  const id = options.ID || 'default';
  const agent = await ssh.socket(id, signal);
  if (agent !== undefined)
    return { kind: 'ssh', target, agent, mode: options.mode, uid: options.uid, gid: options.gid };
  if (options.optional) return undefined;
  throw new MissingSecretError(`unset ssh forward key ${id}`);
}

function sharingOf(sharing: CacheSharingOpt): CacheSharing {
  switch (sharing) {
    case CacheSharingOpt.SHARED:
      return 'shared';
    case CacheSharingOpt.PRIVATE:
      return 'private';
    case CacheSharingOpt.LOCKED:
      return 'locked';
    default:
      throw new InvalidOpError(`invalid cache sharing option: ${sharing}`);
  }
}

function describeCache(mount: Mount, id: string, args: readonly string[]): string {
  const suffix = id === mount.dest ? '' : ` with id ${goQuote(id)}`;
  return `cached mount ${mount.dest} from exec ${args.join(' ')}${suffix}`;
}

/** A cache that starts with the files of an input. They are copied once, so that the cache outlives the input's layers. */
async function seedOf(ref: Ref, { layers }: MountContext, signal: AbortSignal): Promise<CacheSeed> {
  return {
    identity: ref.kind === 'local' ? await ref.contents.checksum('/', {}, signal) : digestOf(ref.layers.join('\n')),
    async fill(directory, filling) {
      const source = await copySource(ref, layers, filling);
      chmodSync(directory, source.tree.root.mode);
      await copyDirectory(source, source.tree.root, directory, lostXattrs(ref), filling);
    },
  };
}
