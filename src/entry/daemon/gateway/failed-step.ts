import { create } from '@bufbuild/protobuf';
import { ExecError } from '../../../engine/ops/exec/exec-error.ts';
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
    else if (at instanceof ExecError) {
      const { step } = at;
      const op = graph?.vertices.find(vertex => vertex.digest === digest)?.op;
      const owner = graph;
      if (owner === undefined || step === undefined || op === undefined) return undefined;
      const name = (files: Ref | undefined) => (files === undefined ? '' : keptName(files, owner, keep));
      return create(SolveSchema, { inputIDs: step.inputs.map(name), mountIDs: step.mounts.map(name), op });
    }
  }
  return undefined;
}

function keptName(result: Ref, graph: GraphError['graph'], keep: (ref: ResultRef) => void): string {
  const id = newID();
  keep({ id, definition: create(DefinitionSchema), graph, call: undefined, solve: async () => ({ result, keys: [] }) });
  return id;
}
