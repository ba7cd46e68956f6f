/** Runs build ops: a graph that a step has written is solved as part of the same build. */

import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { resolvePath } from '../../store/snapshot/file-tree.ts';
import { systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { type BuildOp, DefinitionSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { OpContext } from './op-context.ts';
import { InvalidOpError } from './op-key.ts';
import type { Ref } from './ref.ts';
import { contentsOf } from './ref-contents.ts';

const DEFINITION_INPUT = 'buildkit.llb.definition';
const FILENAME_ATTRIBUTE = 'llbbuild.filename';
/** The engine's own solver, the only builder there is. */
const LLB_BUILDER = -1n;

/**
 * Solves the definition that lies as a file in an input, and returns its result. Throws {@link InvalidOpError}, and what
 * solving throws.
 */
export async function runBuildOp(
  op: BuildOp,
  inputs: readonly Ref[],
  context: Pick<OpContext, 'layers' | 'solve'>,
  signal: AbortSignal,
): Promise<readonly Ref[]> {
  if (op.builder !== LLB_BUILDER) throw new InvalidOpError('only LLB builder is currently allowed');
  const named = op.inputs[DEFINITION_INPUT];
  if (!named) throw new InvalidOpError(`no llb definition input ${DEFINITION_INPUT} found`);
  const ref = inputs[Number(named.input)];
  if (!ref) throw new InvalidOpError(`invalid index ${named.input}`);
  const path = op.attrs[FILENAME_ATTRIBUTE] ?? DEFINITION_INPUT;
  if (ref.kind === 'snapshot') await context.layers.unlazy(ref.layers, signal);
  const { tree } = await contentsOf(ref, context.layers, signal);
  const { node } = resolvePath(tree, toBytePath(path), true);
  if (!node) throw new InvalidOpError(`failed to open ${path}: no such file or directory`);
  if (node.type !== 'file') throw new InvalidOpError(`${path} is not a regular file`);
  return [await context.solve(readDefinition(readFileSync(systemPath(tree.location(node)))), signal)];
}

function readDefinition(data: Uint8Array) {
  try {
    return fromBinary(DefinitionSchema, data);
  } catch (cause) {
    throw new InvalidOpError('failed to parse llb definition', { cause });
  }
}
