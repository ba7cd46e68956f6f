/** Runs file ops: their actions one on top of the other, each result that is needed as a layer. */
import { readFileSync } from 'node:fs';
import { resolvePath } from '../../../store/snapshot/file-tree.ts';
import { type BytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import type { FileAction, FileOp } from '../../../wire/proto/gen/pb/ops_pb.ts';
import type { FailedStep } from '../failed-step.ts';
import type { ActiveSnapshot, OpContext } from '../op-context.ts';
import { InvalidOpError } from '../op-key.ts';
import { type LayerID, type Ref, type SnapshotRef, scratch, snapshotRef } from '../ref.ts';
import { contentsOf, copySource, lostXattrs, materialize } from '../ref-contents.ts';
import { type ActionSource, actionGraph } from './action-graph.ts';
import { makeDirectory, makeFile, makeSymlink, removePath } from './actions.ts';
import { copyAction } from './copy.ts';
import { FileActionError } from './file-action-error.ts';
import { type Owner, resolveOwner } from './owner.ts';
import { withImagePaths } from './path-error.ts';

/** Names of users and groups are not looked up in larger files. */
const LARGEST_USER_FILE = 10 << 20;

/** A file that cannot be read as a list of users or groups. */
class UserFileError extends Error {
  override readonly name = 'UserFileError';
}

/** A layer in the making. */
interface Working {
  readonly below: readonly LayerID[];
  readonly active: ActiveSnapshot;
  readonly root: BytePath;
}

/**
 * Runs a file op; one result for each output. Errors of the file system carry paths as they are in the image. Throws
 * {@link InvalidOpError} and what the actions throw; nothing is left behind then. Where failures are kept, what an action throws is
 * the cause of a {@link FileActionError}, and the files that it found and left are layers.
 */
export async function runFileOp(
  op: FileOp,
  inputs: readonly Ref[],
  { layers, keepsFailures = false }: Pick<OpContext, 'layers' | 'keepsFailures'>,
  signal: AbortSignal,
): Promise<readonly SnapshotRef[]> {
  const { nodes, outputs } = actionGraph(op.actions, inputs.length);
  await using open = new AsyncDisposableStack();
  const results = new Map<number, Promise<SnapshotRef>>();

  async function refOf(source: ActionSource): Promise<Ref> {
    if (source === undefined) return scratch;
    if ('action' in source) return resultOf(source.action);
    const ref = inputs[source.input];
    if (!ref) throw new InvalidOpError(`missing input ${source.input}`);
    return ref;
  }

  function resultOf(position: number): Promise<SnapshotRef> {
    let result = results.get(position);
    if (!result) {
      result = work(position).then(async ({ active, below }) => snapshotRef([...below, await active.commit(signal)]));
      results.set(position, result);
    }
    return result;
  }

  /** Runs an action on a layer that is being written: the one of the action before if nobody else needs that. */
  async function work(position: number): Promise<Working> {
    const node = nodes[position];
    if (!node) throw new InvalidOpError(`missing action ${position}`);
    const { base, action } = node;
    const goesOn = base && 'action' in base && nodes[base.action]?.kept === false;
    const working = goesOn ? await work(base.action) : await begin(await refOf(base));
    signal.throwIfAborted();
    try {
      await withImagePaths(working.root, () => run(action, node.secondary, working.root));
    } catch (cause) {
      if (!keepsFailures || signal.aborted || cause instanceof FileActionError) throw cause;
      throw new FileActionError(cause, position, await failedStep(position, working));
    }
    return working;
  }

  /** Makes a layer of what an action worked on when it failed; what it read of another action is one already. */
  async function failedStep(position: number, { below, active }: Working): Promise<FailedStep> {
    const mounts: (Ref | undefined)[] = nodes.map(() => undefined);
    const secondary = nodes[position]?.secondary;
    if (secondary && 'action' in secondary) mounts[secondary.action] = await resultOf(secondary.action);
    mounts[position] = snapshotRef([...below, await active.commit(signal)]);
    return { inputs, mounts };
  }

  async function begin(ref: Ref): Promise<Working> {
    const { layers: below } = await materialize(ref, layers, signal);
    const active = open.use(await layers.prepare(below, signal));
    const root = below.length === 0 ? active.upper : await active.mount(signal);
    return { below, active, root: toBytePath(root) };
  }

  async function run({ action }: FileAction, secondary: ActionSource, root: BytePath): Promise<void> {
    switch (action.case) {
      case 'mkdir':
        return makeDirectory(root, action.value, await ownerOf(action.value.owner));
      case 'mkfile':
        return makeFile(root, action.value, await ownerOf(action.value.owner));
      case 'symlink':
        return makeSymlink(root, action.value, await ownerOf(action.value.owner));
      case 'rm':
        return removePath(root, action.value);
      case 'copy': {
        const from = await refOf(secondary);
        const source = await copySource(from, layers, signal);
        const owner = await ownerOf(action.value.owner);
        return copyAction({ action: action.value, source, lostXattrs: lostXattrs(from), root, owner }, signal);
      }
      default:
        throw new InvalidOpError('invalid file op with an unknown action');
    }
  }

  function ownerOf(chown: Parameters<typeof resolveOwner>[0]): Promise<Owner | undefined> {
    return resolveOwner(chown, readFile);
  }

  async function readFile(input: number, path: string): Promise<string | undefined> {
    if (input < 0) throw new InvalidOpError(`invalid user index: ${input}`);
    const ref = await refOf(input < inputs.length ? { input } : { action: input - inputs.length });
    const { tree } = await contentsOf(ref, layers, signal);
    const { node } = resolvePath(tree, toBytePath(path), true);
    if (node === undefined) return undefined;
    if (node.type !== 'file') throw new UserFileError(`${path} is not a regular file`);
    if (node.size > LARGEST_USER_FILE) throw new UserFileError(`"${path}" exceeds ${LARGEST_USER_FILE} bytes`);
    return readFileSync(systemPath(tree.location(node)), 'utf8');
  }

  const made: SnapshotRef[] = [];
  for (const position of outputs) made.push(await resultOf(position));
  return made;
}
