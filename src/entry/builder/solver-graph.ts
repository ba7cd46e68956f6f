import { createOp, type OpVertex } from '../../engine/ops/create-op.ts';
import type { OpContext } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import type { Edge, Op, Vertex, VertexReporter } from '../../engine/solver/op.ts';
import type { LoadedGraph, LoadedVertex } from '../../plan/llb/load.ts';

/** A vertex that knows the build that it was loaded for. */
interface BuildVertex extends OpVertex {
  readonly context: OpContext;
  /** Only sources are read; a step that no cache has is refused with a `WouldRunError`. */
  readonly isDry: boolean;
}

/** A step that no cache has, in a build that only looks. */
export class WouldRunError extends Error {
  override readonly name = 'WouldRunError';
}

/** The graph's result as the solver takes it. */
export function solverEdge(graph: LoadedGraph, context: OpContext): Edge {
  const vertex = solverVertices(graph, context, false).get(graph.head.vertex);
  if (!vertex) throw new TypeError('a graph without its own head');
  return { vertex, output: graph.head.output };
}

/**
 * The vertices of a graph as the solver takes them.
 *
 * @param isDry no step runs: see `WouldRunError`
 * @param isForced which vertices run, whatever is cached
 */
export function solverVertices(
  graph: LoadedGraph,
  context: OpContext,
  isDry: boolean,
  isForced: (vertex: LoadedVertex) => boolean = () => false,
): ReadonlyMap<LoadedVertex, Vertex> {
  const vertices = new Map<LoadedVertex, BuildVertex>();
  for (const loaded of graph.vertices) {
    const inputs = loaded.inputs.flatMap(({ vertex, output }): Edge[] => {
      const input = vertices.get(vertex);
      return input ? [{ vertex: input, output }] : [];
    });
    const { metadata } = loaded;
    vertices.set(loaded, {
      digest: loaded.digest,
      name: loaded.name,
      inputs,
      op: loaded.op,
      metadata,
      ignoreCache: (metadata?.ignoreCache ?? false) || isForced(loaded),
      context,
      isDry,
      ...(metadata?.exportCache === undefined ? {} : { exportCache: metadata.exportCache.Value }),
      ...(metadata?.progressGroup === undefined ? {} : { progressGroup: metadata.progressGroup }),
    });
  }
  return vertices;
}

/** The op of a vertex that `solverEdge` made; what it says goes to every build that shares the vertex. */
export function resolveBuildOp(vertex: Vertex, reporter: VertexReporter): Op<Ref> {
  if (!isBuildVertex(vertex)) throw new TypeError(`the vertex ${vertex.name} belongs to no build`);
  const op = createOp(vertex, { ...vertex.context, emit: reporter.emit });
  if (!vertex.isDry || isSource(vertex)) return op;
  return { ...op, exec: () => Promise.reject(new WouldRunError('no cache has it')) };
}

/** Whether a vertex that `solverEdge` made is read, not run. */
export function isSource(vertex: Vertex): boolean {
  return isBuildVertex(vertex) && vertex.op.op.case === 'source';
}

function isBuildVertex(vertex: Vertex): vertex is BuildVertex {
  return 'context' in vertex && 'op' in vertex;
}
