import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { InputChecksumError } from '../../../engine/ops/content-key.ts';
import { ExecError } from '../../../engine/ops/exec/exec-error.ts';
import type { FailedStep } from '../../../engine/ops/failed-step.ts';
import { FileActionError } from '../../../engine/ops/file/file-action-error.ts';
import type { Ref } from '../../../engine/ops/ref.ts';
import { VertexError } from '../../../engine/solver/errors.ts';
import { type Solve, SolveSchema } from '../../../wire/proto/gen/control/errdefs_pb.ts';
import { DefinitionSchema } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { newID } from '../../builder/embedded-host.ts';
import { GraphError } from '../error-status.ts';
import type { ResultRef } from '../frontend-result.ts';

/**
 * What a frontend gets to look into the step that failed with: its op, and names for the files that it found and left.
 * @param keep makes a name known
 * @returns undefined for a failure that left nothing to look into
 */
export function failedStep(error: unknown, keep: (ref: ResultRef) => void): Solve | undefined {
  let graph: GraphError['graph'] | undefined;
  let digest: string | undefined;
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof GraphError) graph = at.graph;
    else if (at instanceof VertexError) digest = at.vertex.digest;
    const failure = failureOf(at);
    if (failure === undefined) continue;
    const op = graph?.vertices.find(vertex => vertex.digest === digest)?.op;
    const owner = graph;
    if (owner === undefined || op === undefined) return undefined;
    const name = (files: Ref | undefined) => (files === undefined ? '' : keptName(files, owner, keep));
    const { inputs, mounts, subject } = failure;
    return create(SolveSchema, {
      inputIDs: inputs.map(name),
      mountIDs: mounts.map(name),
      op,
      ...(subject === undefined ? {} : { subject }),
    });
  }
  return undefined;
}

interface Failure extends FailedStep {
  /** What of the op failed. */
  readonly subject?: NonNullable<MessageInitShape<typeof SolveSchema>['subject']>;
}

function failureOf(error: Error): Failure | undefined {
  if (error instanceof ExecError) return error.step;
  if (error instanceof FileActionError)
    return { ...error.step, subject: { case: 'file', value: { index: BigInt(error.index) } } };
  if (error instanceof InputChecksumError) {
    const { ref, index } = error.input;
    return { inputs: [ref], mounts: [], subject: { case: 'cache', value: { index: BigInt(index) } } };
  }
  return undefined;
}

function keptName(result: Ref, graph: GraphError['graph'], keep: (ref: ResultRef) => void): string {
  const id = newID();
  keep({ id, definition: create(DefinitionSchema), graph, call: undefined, solve: async () => ({ result, keys: [] }) });
  return id;
}
