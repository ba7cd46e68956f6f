import type { Input } from '../../wire/proto/gen/pb/ops_pb.ts';
import { makeOp } from './op.ts';
import type { Edge, VertexOptions } from './vertex.ts';

/** The trees laid over each other, later ones on top. Scratch adds nothing; fewer than two others need no step. */
export function mergeEdges(edges: readonly (Edge | undefined)[], options: VertexOptions = {}): Edge | undefined {
  const layers = edges.flatMap(edge => edge ?? []);
  if (layers.length < 2) return layers[0];
  return {
    output: 0,
    vertex: {
      inputs: () => layers,
      encode: context => ({
        op: makeOp(context, options, 'without platform', {
          inputs: layers.map(edge => context.input(edge)),
          op: { case: 'merge', value: { inputs: layers.map((_, i) => ({ input: BigInt(i) })) } },
        }),
        capabilities: ['mergeop'],
        options,
      }),
    },
  };
}

/** What turns `lower` into `upper`. Against scratch that is `upper` itself. */
export function diffEdges(
  lower: Edge | undefined,
  upper: Edge | undefined,
  options: VertexOptions = {},
): Edge | undefined {
  if (lower === undefined) return upper;
  return {
    output: 0,
    vertex: {
      inputs: () => (upper === undefined ? [lower] : [lower, upper]),
      encode: context => {
        const inputs: Input[] = [context.input(lower)];
        // Not deduplicated: each side has an input of its own.
        if (upper !== undefined) inputs.push(context.input(upper));
        return {
          op: makeOp(context, options, 'without platform', {
            inputs,
            op: {
              case: 'diff',
              value: { lower: { input: 0n }, upper: { input: upper === undefined ? -1n : 1n } },
            },
          }),
          capabilities: ['diffop'],
          options,
        };
      },
    },
  };
}
