import { makeOp } from './op.ts';
import type { Edge, VertexOptions } from './vertex.ts';

/**
 * `edge` itself, but not before `required` are there too. The id tells one such step from another with the same inputs.
 */
export function passthroughVertex(
  id: string,
  edge: Edge,
  required: readonly (Edge | undefined)[],
  options: VertexOptions = {},
): Edge {
  const edges = [edge, ...required.flatMap(other => other ?? [])];
  return {
    output: 0,
    vertex: {
      inputs: () => edges,
      encode: context => ({
        op: makeOp(context, options, 'without platform', {
          inputs: edges.map(one => context.input(one)),
          op: { case: 'passthrough', value: { id, outputs: [0n] } },
        }),
        capabilities: ['passthroughop'],
        options,
      }),
    },
  };
}
