import { fromBinary } from '@bufbuild/protobuf';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import {
  type Definition,
  type Location,
  type Op,
  type OpMetadata,
  OpSchema,
  type Platform,
  type SourceInfo,
  type SourceOp,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { marshalMessage } from './marshal.ts';
import { vertexName } from './names.ts';

/** A definition that is no graph. Messages are those of BuildKit's daemon. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';
}

/** A graph that was read from a definition. */
export interface LoadedGraph {
  /** The result. */
  readonly head: LoadedEdge;
  /** Inputs before users, without the terminal. */
  readonly vertices: readonly LoadedVertex[];
  /** The files that locations point into. */
  readonly sources: readonly SourceInfo[];
}

export interface LoadedEdge {
  readonly vertex: LoadedVertex;
  readonly output: number;
}

export interface LoadedVertex {
  /** SHA-256 of the op, marshalled anew by our rules; a client that wrote other bytes sees another digest than its own. */
  readonly digest: Digest;
  /** What progress shows: the custom name, else one made of the op. */
  readonly name: string;
  readonly op: Op;
  readonly inputs: readonly LoadedEdge[];
  readonly metadata: OpMetadata | undefined;
  readonly locations: readonly Location[];
}

/**
 * Reads a definition, as a daemon does.
 *
 * @param rewrite - gives the source to take in place of another; what it throws is thrown
 * @throws DefinitionError when it is none
 */
export function loadDefinition(
  definition: Definition,
  rewrite?: (
    source: Pick<SourceOp, 'identifier' | 'attrs'>,
    platform: Platform | undefined,
  ) => Pick<SourceOp, 'identifier' | 'attrs'>,
): LoadedGraph {
  if (definition.def.length === 0) throw new DefinitionError('invalid empty definition');
  const ops = new Map<string, Op>();
  let last = '';
  for (const bytes of definition.def) {
    last = digestOf(bytes);
    ops.set(last, parseOp(bytes));
  }
  const terminal = ops.get(last);
  if (ops.size < 2 || terminal === undefined) throw new DefinitionError(`invalid LLB with ${ops.size} vertexes`);
  const [result] = terminal.inputs;
  if (result === undefined) throw new DefinitionError('invalid LLB with no inputs on last vertex');

  const loader = new Map<string, LoadedVertex>();
  const vertices: LoadedVertex[] = [];
  const begun = new Set<string>();
  const needed = new Set(inOrder(result.digest, ops, new Set()));
  // In the order of the definition, as far as that has inputs before their users.
  const order = [...ops.keys()]
    .filter(digest => needed.has(digest))
    .flatMap(digest => [...inOrder(digest, ops, begun)]);
  // What the definition lacks is only in the first.
  for (const digest of needed.size > order.length ? needed : order) {
    const op = ops.get(digest);
    if (op === undefined) throw new DefinitionError(`invalid missing input digest ${digest}`);
    const inputs = op.inputs.map((input, i) => edgeOf(loader, input, i));
    checkOp(op);
    // A client may have written other bytes, so inputs are named by their new digests before this op is written.
    const canonical: Op = {
      ...op,
      op:
        rewrite && op.op.case === 'source'
          ? { case: 'source', value: { ...op.op.value, ...rewrite(op.op.value, op.platform) } }
          : op.op,
      inputs: op.inputs.map((input, i) => ({ ...input, digest: inputs[i]?.vertex.digest ?? '' })),
    };
    const metadata = definition.metadata[digest];
    const vertex: LoadedVertex = {
      digest: digestOf(marshalMessage(OpSchema, canonical)),
      name: metadata?.description['llb.customname'] ?? vertexName(canonical, inputs),
      op: canonical,
      inputs,
      metadata,
      locations: definition.Source?.locations[digest]?.locations ?? [],
    };
    loader.set(digest, vertex);
    vertices.push(vertex);
  }
  return { head: edgeOf(loader, result, 0), vertices, sources: definition.Source?.infos ?? [] };
}

/** Reads one op of a definition. @throws DefinitionError */
export function parseOp(bytes: Uint8Array): Op {
  try {
    return fromBinary(OpSchema, bytes);
  } catch (cause) {
    throw new DefinitionError('failed to parse llb proto op', { cause });
  }
}

function edgeOf(loaded: ReadonlyMap<string, LoadedVertex>, input: Op['inputs'][number], place: number): LoadedEdge {
  const vertex = loaded.get(input.digest);
  if (vertex === undefined) throw new DefinitionError(`invalid missing input digest ${input.digest}`);
  if (input.index < 0n) throw new DefinitionError(`invalid input ${place} output index ${input.index}`);
  return { vertex, output: Number(input.index) };
}

/** Digests of the ops below one that are not begun, inputs first. An op names its inputs by digest, so there can be no circle. */
function* inOrder(last: string, ops: ReadonlyMap<string, Op>, begun: Set<string>): Generator<string> {
  if (begun.has(last)) return;
  begun.add(last);
  const stack = [{ digest: last, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const below = ops.get(top.digest)?.inputs[top.next++]?.digest;
    if (below === undefined) {
      stack.pop();
      yield top.digest;
    } else if (!begun.has(below)) {
      begun.add(below);
      stack.push({ digest: below, next: 0 });
    }
  }
}

function checkOp({ op }: Op): void {
  switch (op.case) {
    case undefined:
      throw new DefinitionError('invalid op with no operation');
    case 'exec':
      if (op.value.meta === undefined) throw new DefinitionError('invalid exec op with no meta');
      if (op.value.meta.args.length === 0) throw new DefinitionError('invalid exec op with no args');
      if (op.value.mounts.length === 0) throw new DefinitionError('invalid exec op with no mounts');
      if (!op.value.mounts.some(mount => mount.dest === '/'))
        throw new DefinitionError('invalid exec op with no rootfs');
      break;
    case 'source':
      break;
    case 'file':
      if (op.value.actions.length === 0) throw new DefinitionError('invalid file op with no actions');
      break;
    case 'build':
      break;
    case 'merge':
      break;
    case 'diff':
      if (op.value.lower === undefined) throw new DefinitionError('invalid diff op with nil lower');
      if (op.value.upper === undefined) throw new DefinitionError('invalid diff op with nil upper');
      break;
    case 'passthrough':
      if (op.value.id === '') throw new DefinitionError('invalid passthrough op with no id');
      if (op.value.outputs.length === 0) throw new DefinitionError('invalid passthrough op with no outputs');
      break;
  }
}
