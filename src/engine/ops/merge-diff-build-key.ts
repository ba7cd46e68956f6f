/** The keys of ops whose inputs count by their own keys only and stay lazy (cache keys facts, 6). */
import {
  type BuildOp,
  BuildOpSchema,
  type DiffOp,
  DiffOpSchema,
  type MergeOp,
  MergeOpSchema,
  type PassthroughOp,
  PassthroughOpSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { messageJson } from './message-json.ts';
import { fieldParts, type InputKey, InvalidOpError, lazyInput, type OpKey, opKey } from './op-key.ts';

/** The key of a merge op. */
export function mergeKey(op: MergeOp): OpKey {
  return opKey(
    `{"Type":"buildkit.merge.v0","Merge":${messageJson(MergeOpSchema, op)}}`,
    [{ kind: 'merge', name: 'inputs', value: op.inputs.map(({ input }) => input).join(' ') }],
    lazyInputs(op.inputs.length),
  );
}

/** The key of a diff op. Throws {@link InvalidOpError} without lower or upper. */
export function diffKey(op: DiffOp): OpKey {
  if (!op.lower || !op.upper) throw new InvalidOpError('invalid diff op with nil lower or upper input');
  const sides = [op.lower.input, op.upper.input];
  return opKey(
    `{"Type":"buildkit.diff.v0","Diff":${messageJson(DiffOpSchema, op)}}`,
    [
      { kind: 'diff', name: 'lower', value: String(op.lower.input) },
      { kind: 'diff', name: 'upper', value: String(op.upper.input) },
    ],
    lazyInputs(sides.filter(input => input !== -1n).length),
  );
}

/** The key of a build op with `inputs` inputs. */
export function buildKey(op: BuildOp, inputs: number): OpKey {
  return opKey(
    `{"Type":"buildkit.build.v0","Exec":${messageJson(BuildOpSchema, op)}}`,
    fieldParts('build', '', BuildOpSchema, op),
    lazyInputs(inputs),
  );
}

/** The key of a passthrough op with `inputs` inputs. Throws {@link InvalidOpError}. */
export function passthroughKey(op: PassthroughOp, inputs: number): OpKey {
  if (op.id === '') throw new InvalidOpError('invalid passthrough op with no id');
  if (op.outputs.length === 0) throw new InvalidOpError('invalid passthrough op with no outputs');
  for (const input of op.outputs) {
    if (input < 0n || (inputs > 0 && input >= BigInt(inputs)))
      throw new InvalidOpError(`invalid passthrough output input index ${input}`);
  }
  return opKey(
    `{"Type":"buildkit.passthrough.v0","Passthrough":${messageJson(PassthroughOpSchema, op)}}`,
    fieldParts('passthrough', '', PassthroughOpSchema, op),
    lazyInputs(inputs),
  );
}

function lazyInputs(count: number): InputKey[] {
  return Array.from({ length: count }, () => lazyInput);
}
