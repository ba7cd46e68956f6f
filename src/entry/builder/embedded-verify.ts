import { join } from 'node:path';
import { memoryKeyStore } from '../../engine/cache/memory-key-store.ts';
import { readOnlyKeys } from '../../engine/cache/read-only-keys.ts';
import { openBuildCaches } from '../../engine/cache/remote/build-caches.ts';
import { snapshotResults } from '../../engine/cache/snapshot-results.ts';
import { sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import { type ColdMounts, openColdMounts } from '../../engine/ops/exec/cold-mounts.ts';
import { openMountCopies } from '../../engine/ops/exec/mount-copies.ts';
import { type Ref, scratch } from '../../engine/ops/ref.ts';
import type { CacheImport, KeyStore } from '../../engine/solver/cache.ts';
import { createSolver } from '../../engine/solver/solver.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { compareTrees, type TreeDifference } from '../../store/snapshot/compare-trees.ts';
import { watchErrors } from './build-error.ts';
import { cacheDeps } from './cache-deps.ts';
import { cacheMountsOf } from './cache-mounts.ts';
import { openEmbeddedSession } from './embedded-session.ts';
import type { Engine } from './engine.ts';
import { type FrontendRequest, frontendRequest } from './frontend-options.ts';
import { checkNoCacheStages } from './no-cache-stages.ts';
import type { BuildRequest } from './request.ts';
import { resultFiles } from './result-files.ts';
import { resolveBuildOp, solverVertices } from './solver-graph.ts';

/** With which cache mounts a build runs; `cold-again` only when the first two differ. */
export type VerifyPass = 'cold' | 'filled' | 'cold-again';

/** A cache mount that a step of the build asks for. */
interface VerifiedMount {
  /** The step's name. */
  readonly step: string;
  readonly id: string;
  readonly target: string;
  /** Whether the build with filled mounts had something to put into it. */
  readonly wasFilled: boolean;
}

/** A file that is not the same in the result of both builds; the first is that with empty mounts. */
export interface VerifyDifference extends TreeDifference {
  /** `linux/arm64`, when the build was for several. */
  readonly platform?: string;
  /** It differs between two builds with empty mounts as well: what is in the mounts need not be why. */
  readonly isUnsteady: boolean;
}

/** What building with empty and with filled cache mounts came to. */
export interface VerifyReport {
  readonly mounts: readonly VerifiedMount[];
  readonly differences: readonly VerifyDifference[];
}

/** The results of one pass. They are there as long as the pass is open. */
interface Pass extends AsyncDisposable {
  /** What it ran, for later passes to look up in. */
  readonly cache: CacheImport<Ref>;
  readonly results: readonly { readonly platform: string; readonly ref: Ref }[];
  readonly mounts: readonly VerifiedMount[];
}

/**
 * Builds with empty and with filled cache mounts, and compares the results. Steps with cache mounts run, and what stands on
 * them; others come from the cache. Nothing of it is kept: neither mounts nor results, and the mounts of the root are only
 * read.
 * @param observe gives the sink for the events of a pass, before it begins
 * @throws what a build throws
 */
export async function runEmbeddedVerify(
  engine: Engine,
  request: BuildRequest,
  observe: (pass: VerifyPass) => EventSink,
  signal: AbortSignal,
): Promise<VerifyReport> {
  signal.throwIfAborted();
  await using stack = new AsyncDisposableStack();
  const frontend = stack.use(await frontendRequest(request));
  const parent = join(engine.root, 'cold-mounts');
  const open = async (pass: VerifyPass, store: ColdMounts, caches: readonly CacheImport<Ref>[]) =>
    stack.use(await runPass({ engine, request, frontend, store, caches, emit: observe(pass) }, signal));
  const empty = stack.use(openColdMounts(parent));
  const local = readOnly('local', engine, sqliteKeyStore(engine.database));
  const cold = await open('cold', empty, [local]);
  if (cold.mounts.length === 0) return { mounts: [], differences: [] };
  const originals = [rootLayout(engine.root).cacheMounts, empty.root];
  const filled = await open('filled', stack.use(openMountCopies(parent, originals)), [local, cold.cache]);
  const found = await differencesOf(engine, cold, filled, signal);
  if (found.length === 0) return { mounts: filled.mounts, differences: [] };
  const again = await open('cold-again', stack.use(openColdMounts(parent)), [local, cold.cache]);
  const unsteady = new Set((await differencesOf(engine, cold, again, signal)).map(nameOf));
  const differences = found.map(one => ({ ...one, isUnsteady: unsteady.has(nameOf(one)) }));
  return { mounts: filled.mounts, differences };
}

type FoundDifference = Omit<VerifyDifference, 'isUnsteady'>;

function nameOf({ platform, path }: FoundDifference): string {
  return `${platform} ${path}`;
}

async function differencesOf(
  { layers }: Engine,
  first: Pass,
  second: Pass,
  signal: AbortSignal,
): Promise<FoundDifference[]> {
  const differences: FoundDifference[] = [];
  const isOne = first.results.length === 1;
  for (const [index, { platform, ref }] of first.results.entries()) {
    const a = await resultFiles(ref, layers, signal);
    const b = await resultFiles(second.results[index]?.ref ?? scratch, layers, signal);
    for await (const difference of compareTrees(a, b, signal)) {
      differences.push(isOne ? difference : { ...difference, platform });
    }
  }
  return differences;
}

interface PassOptions {
  readonly engine: Engine;
  readonly request: BuildRequest;
  readonly frontend: FrontendRequest;
  readonly store: ColdMounts;
  readonly caches: readonly CacheImport<Ref>[];
  readonly emit: EventSink;
}

async function runPass(
  { engine, request, frontend, store, caches, emit }: PassOptions,
  signal: AbortSignal,
): Promise<Pass> {
  const errors = watchErrors();
  const emptiness = new Map<string, boolean>();
  const observed: EventSink = event => {
    if (event.kind === 'cache-mount') emptiness.set(`${event.vertex} ${event.target}`, event.isEmpty);
    emit(event);
  };
  try {
    await using stack = new AsyncDisposableStack();
    const keys = memoryKeyStore();
    const solver = createSolver<Ref>({
      resolveOp: resolveBuildOp,
      cache: { id: 'verify', keys, results: snapshotResults(engine.layers) },
      parallelism: engine.parallelism,
      now: engine.now,
    });
    const session = stack.use(
      openEmbeddedSession({ ...engine, solver, cacheMounts: store }, request, frontend, {
        emit: observed,
        ...errors.observe(frontend),
        onImage: () => undefined,
      }),
    );
    const { host, job, context, load } = session;
    const sources = stack.use(
      openBuildCaches(
        { from: request.cacheFrom, to: [] },
        { ...cacheDeps(engine, observed), env: process.env },
        signal,
      ),
    );
    const plan = await planDockerfile(host, frontend.options, signal, () => undefined);
    checkNoCacheStages(request, plan.dockerfile.data);
    const mounts: Omit<VerifiedMount, 'wasFilled'>[] = [];
    const places: string[] = [];
    const results = await Promise.all(
      plan.platforms.map(async ({ id, definition }) => {
        if (definition.def.length === 0) return { platform: id, ref: scratch };
        const graph = await load(definition);
        for (const vertex of graph.vertices) {
          for (const { id, target } of cacheMountsOf(vertex)) {
            mounts.push({ step: vertex.name, id, target });
            places.push(`${vertex.digest} ${target}`);
          }
        }
        const vertices = solverVertices(graph, context, false, vertex => cacheMountsOf(vertex).length > 0);
        const vertex = vertices.get(graph.head.vertex);
        if (vertex === undefined) throw new TypeError('a graph without its own head');
        const edge = { vertex, output: graph.head.output };
        const { result } = await job.build(edge, signal, [...caches, ...sources.imports]);
        return { platform: id, ref: result };
      }),
    );
    const owned = stack.move();
    return {
      cache: readOnly('verify-cold', engine, keys),
      results,
      mounts: mounts.map((mount, index) => ({ ...mount, wasFilled: emptiness.get(places[index] ?? '') === false })),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    throw errors.errorOf(error, signal);
  }
}

/** A cache to look up in as if it were imported. Nothing that is found out on the way goes into it. */
function readOnly(id: string, { layers }: Engine, keys: KeyStore): CacheImport<Ref> {
  return { id, cache: Promise.resolve({ id, keys: readOnlyKeys(keys), results: snapshotResults(layers) }) };
}
