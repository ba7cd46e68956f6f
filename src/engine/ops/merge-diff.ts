/** Runs ops that only put layers together: merge, diff and passthrough. */
import type { DiffOp, MergeOp, PassthroughOp } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { SnapshotStore } from './op-context.ts';
import { InvalidOpError } from './op-key.ts';
import { type LayerID, type Ref, scratch, snapshotRef } from './ref.ts';
import { materialize } from './ref-contents.ts';

/** The inputs on top of each other, the first at the bottom. */
export async function runMergeOp(
  op: MergeOp,
  inputs: readonly Ref[],
  layers: SnapshotStore,
  signal: AbortSignal,
): Promise<readonly Ref[]> {
  const refs = await Promise.all(
    op.inputs.map(({ input }) => materialize(inputAt(inputs, Number(input)), layers, signal)),
  );
  const all: LayerID[] = [];
  for (const ref of refs) all.push(...(await layers.stack(ref.layers, all, signal)));
  return [snapshotRef(all)];
}

/** What turns the lower side into the upper one. */
export async function runDiffOp(
  op: DiffOp,
  inputs: readonly Ref[],
  layers: SnapshotStore,
  signal: AbortSignal,
): Promise<readonly Ref[]> {
  // Sides that are empty have no input, so the upper one may be the first.
  const given = [...inputs];
  const side = async (input: bigint | undefined) =>
    input === undefined || input === -1n ? scratch : materialize(inputAt(given, 0, given.shift()), layers, signal);
  const lower = await side(op.lower?.input);
  const upper = await side(op.upper?.input);
  if (lower.layers.length === 0) return [upper];
  return [snapshotRef(await layers.diff(lower.layers, upper.layers, signal))];
}

/** For each output the input that it hands on. */
export function runPassthroughOp(op: PassthroughOp, inputs: readonly Ref[]): readonly Ref[] {
  return op.outputs.map(input => inputAt(inputs, Number(input)));
}

function inputAt(inputs: readonly Ref[], index: number, ref = inputs[index]): Ref {
  if (!ref) throw new InvalidOpError(`missing input ${index}`);
  return ref;
}
