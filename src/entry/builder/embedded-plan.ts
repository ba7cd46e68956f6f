import { openBuildCaches } from '../../engine/cache/remote/build-caches.ts';
import type { RemoteImport } from '../../engine/cache/remote/import.ts';
import { VertexError } from '../../engine/solver/errors.ts';
import type { Vertex } from '../../engine/solver/op.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import type { LoadedVertex } from '../../plan/llb/load.ts';
import { watchErrors } from './build-error.ts';
import { cacheDeps } from './cache-deps.ts';
import { openEmbeddedSession } from './embedded-session.ts';
import type { Engine } from './engine.ts';
import { frontendRequest } from './frontend-options.ts';
import { checkNoCacheStages } from './no-cache-stages.ts';
import { planEvent } from './plan-event.ts';
import type { BuildRequest } from './request.ts';
import { solverVertices, WouldRunError } from './solver-graph.ts';
import { tellImports } from './tell-imports.ts';

/** What a build would do with a step. */
export type PlannedOutcome = 'hit' | 'run';

/**
 * Looks up what a build needs, from its result down, and runs nothing. Events say what was found, as those of a build do.
 * Returns what would become of the steps that are needed, by digest; what only stands below a hit is not in it.
 * @throws what a build throws before its first step runs.
 */
export async function runEmbeddedPlan(
  engine: Engine,
  request: BuildRequest,
  emit: EventSink,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PlannedOutcome>> {
  signal.throwIfAborted();
  const errors = watchErrors();
  let imports: readonly RemoteImport[] = [];
  const told = tellImports(emit, () => imports);
  const outcomes = new Map<string, PlannedOutcome>();
  try {
    await using stack = new AsyncDisposableStack();
    const frontend = stack.use(await frontendRequest(request));
    const session = stack.use(
      openEmbeddedSession(engine, request, frontend, {
        emit: told,
        contexts: { namesFiles: true },
        ...errors.observe(frontend),
        onImage: () => undefined,
      }),
    );
    const { host, job, context, load } = session;
    const caches = stack.use(
      openBuildCaches(
        { from: request.cacheFrom, to: [] },
        {
          ...cacheDeps(engine, told),
          env: process.env,
        },
        signal,
      ),
    );
    imports = caches.imports;
    const plan = await planDockerfile(host, frontend.options, signal, () => undefined);
    const { data } = plan.dockerfile;
    checkNoCacheStages(request, data);
    told(planEvent(plan));
    for (const { definition } of plan.platforms) {
      if (definition.def.length === 0) continue;
      const graph = await load(definition);
      const vertices = solverVertices(graph, context, true);
      const find = async (vertex: Vertex, output: number): Promise<PlannedOutcome> => {
        try {
          await job.build({ vertex, output }, signal, imports);
          return 'hit';
        } catch (error) {
          if (error instanceof VertexError && error.cause instanceof WouldRunError) return 'run';
          throw error;
        }
      };
      const pending: { readonly vertex: LoadedVertex; readonly output: number }[] = [graph.head];
      for (const { vertex, output } of pending) {
        const solved = vertices.get(vertex);
        if (solved === undefined || outcomes.has(vertex.digest)) continue;
        const outcome = await find(solved, output);
        outcomes.set(vertex.digest, outcome);
        if (outcome === 'run') pending.push(...vertex.inputs);
      }
    }
    return outcomes;
  } catch (error) {
    throw errors.errorOf(error, signal);
  }
}
