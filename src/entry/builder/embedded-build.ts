import { type BuildCaches, openBuildCaches } from '../../engine/cache/remote/build-caches.ts';
import type { RemoteImport } from '../../engine/cache/remote/import.ts';
import { retryWithoutLostLayers } from '../../engine/cache/remote/lost-layer.ts';
import type { CacheBase } from '../../engine/cache/remote/port.ts';
import { bundledStatements, SPDX_PREDICATE } from '../../engine/exporter/bundle.ts';
import { dockerEngine } from '../../engine/exporter/docker-engine.ts';
import { createExportProgress } from '../../engine/exporter/export-progress.ts';
import { pathTarget } from '../../engine/exporter/export-target.ts';
import { createExporter, type ExportContext, type Exporter } from '../../engine/exporter/exporter.ts';
import type { Attestation, BuildOutput, PlatformResult } from '../../engine/exporter/result.ts';
import { type Ref, scratch } from '../../engine/ops/ref.ts';
import type { CacheKey } from '../../engine/solver/key.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { type DockerfilePlan, type PlatformPlan, planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import { CORE_SCAN } from '../../plan/frontend/sbom.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { watchBases } from './base-watch.ts';
import { watchErrors } from './build-error.ts';
import { type ProvenanceRecorder, recordProvenance } from './build-provenance.ts';
import type { BuildScope } from './build-scope.ts';
import { cacheBase, cacheDeps } from './cache-deps.ts';
import { shown } from './embedded-host.ts';
import { openEmbeddedSession } from './embedded-session.ts';
import type { Engine } from './engine.ts';
import { fillingEngine } from './filling-engine.ts';
import { frontendRequest } from './frontend-options.ts';
import { checkNoCacheStages } from './no-cache-stages.ts';
import { planEvent } from './plan-event.ts';
import type { BuildRequest, BuildResult } from './request.ts';
import { resultFiles } from './result-files.ts';
import { tellImports } from './tell-imports.ts';
import { newerFrontendEvent, warningEvent } from './warning-event.ts';

/** Runs one build on an engine to its end. See `Builder.build` for what it throws. */
export function runEmbeddedBuild(
  engine: Engine,
  request: BuildRequest,
  emit: EventSink,
  signal: AbortSignal,
): Promise<BuildResult> {
  return retryWithoutLostLayers(lost => attemptBuild(engine, request, lost, emit, signal));
}

/** @param lost layers of imported caches that an earlier attempt has found missing or damaged, and that this one adds. */
async function attemptBuild(
  engine: Engine,
  request: BuildRequest,
  lost: Set<string>,
  emit: EventSink,
  signal: AbortSignal,
): Promise<BuildResult> {
  signal.throwIfAborted();
  const errors = watchErrors();
  const positions = new Map<string, number>();
  let provenance: ProvenanceRecorder | undefined;
  let imports: readonly RemoteImport[] = [];
  const bases: CacheBase[] = [];
  const watch = watchBases(engine, emit, () => imports, bases);
  const told = tellImports(watch.sink, () => imports);
  const placed: EventSink = event => {
    const position = event.kind === 'vertex' ? positions.get(event.digest) : undefined;
    provenance?.note(event);
    told(position === undefined || event.kind !== 'vertex' ? event : { ...event, position });
  };
  try {
    await using stack = new AsyncDisposableStack();
    const frontend = stack.use(await frontendRequest(request));
    const recorder = recordProvenance(engine, request, frontend.options, errors.graphs);
    provenance = recorder;
    const exporters = request.outputs.map(({ type, attributes, dest }) =>
      createExporter(
        { type, attributes, ...(dest === undefined ? {} : { target: pathTarget(dest) }) },
        exportContext(engine),
      ),
    );
    const { host, build, load } = stack.use(
      openEmbeddedSession(
        fillingEngine(engine, placed, () => imports),
        request,
        frontend,
        {
          emit: placed,
          ...errors.observe(frontend),
          onImage(image) {
            recorder.resolved(image);
            bases.push(...cacheBase(image, engine.now()));
          },
        },
      ),
    );
    const caches = stack.use(
      openBuildCaches(
        {
          from: request.cacheFrom,
          to: request.cacheTo,
          inlineArgument: request.buildArgs.get('BUILDKIT_INLINE_CACHE'),
        },
        {
          ...cacheDeps(engine, placed, { graphs: errors.graphs, bases }),
          lost,
          env: process.env,
        },
        signal,
      ),
    );
    imports = caches.imports;
    const plan = await planDockerfile(host, planOptions(request, frontend.options), signal, (warning, dockerfile) =>
      placed(warningEvent(warning, { dockerfile })),
    );
    checkNoCacheStages(request, plan.dockerfile.data);
    notePositions(plan, positions);
    placed(planEvent(plan));
    const newer = newerFrontendEvent(plan);
    if (newer) placed(newer);
    const graphs = new Map<PlatformPlan, LoadedGraph>();
    for (const platform of plan.platforms) {
      if (platform.definition.def.length > 0) graphs.set(platform, await load(platform.definition));
    }
    const output = await solvePlan(
      plan,
      graphs,
      { build, load, files: exportContext(engine).open, recorder, caches },
      signal,
    );
    const response: Record<string, string> = {};
    for (const exporter of exporters)
      Object.assign(response, await runExport(exporter, output, engine, placed, signal));
    Object.assign(response, await caches.exports.run(output.keys, signal));
    await watch.finish(signal);
    if (request.metadata) Object.assign(response, recorder.metadata(plan, graphs));
    return { response };
  } catch (error) {
    throw errors.errorOf(error, signal);
  }
}

/** Tells each vertex's place in the Dockerfile, by its instruction's line. */
function notePositions(plan: DockerfilePlan, positions: Map<string, number>): void {
  const steps = plan.platforms.flatMap(platform => platform.steps);
  for (const { digest, lines } of steps)
    positions.set(digest, Math.min(positions.get(digest) ?? lines.start, lines.start));
}

/** What the frontend plans by: it plans the scanner too that the request asks for. */
function planOptions({ attests }: BuildRequest, options: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const asked = attests.get('sbom')?.split(',') ?? ['disabled=true'];
  if (asked.includes('disabled=true')) return options;
  return new Map([...options, ['attest:sbom', asked.filter(field => field !== 'disabled=false').join(',')]]);
}

interface Solving {
  readonly build: BuildScope['build'];
  readonly load: BuildScope['load'];
  readonly files: ExportContext['open'];
  readonly recorder: ProvenanceRecorder;
  readonly caches: BuildCaches;
}

/** Solves the graphs of a plan; the result's keys are what caches are exported from. */
async function solvePlan(
  plan: DockerfilePlan,
  graphs: ReadonlyMap<PlatformPlan, LoadedGraph>,
  { build, load, files, recorder, caches: { imports, exports } }: Solving,
  signal: AbortSignal,
): Promise<BuildOutput & { readonly keys: readonly CacheKey<Ref>[] }> {
  const keys: CacheKey<Ref>[] = [];
  const scan = async ({ sbom }: PlatformPlan): Promise<Attestation[]> => {
    if (sbom === undefined) return [];
    const { result } = await build(await load(sbom), signal, imports);
    const { tree } = await files(result, signal);
    return bundledStatements(
      tree,
      { path: '', predicateType: SPDX_PREDICATE, inlineOnly: false, core: CORE_SCAN },
      signal,
    );
  };
  const solve = async (platform: PlatformPlan): Promise<PlatformResult> => {
    const graph = graphs.get(platform);
    const solved = graph && (await build(graph, signal, imports));
    const ref = solved?.result ?? scratch;
    keys.push(...(solved?.keys ?? []));
    const { baseImageConfig: baseConfig } = platform;
    const result: Omit<PlatformResult, 'attestations'> = {
      id: platform.id,
      platform: platform.platform,
      ref,
      config: platform.imageConfig,
      ...(baseConfig === undefined ? {} : { baseConfig }),
      ...(exports.isInline && solved && ref.kind === 'snapshot'
        ? { inlineCache: (layers, inner) => exports.inlineCache(solved.keys, ref, layers, inner) }
        : {}),
    };
    return {
      ...result,
      attestations: graph ? [...(await scan(platform)), ...recorder.attestation(plan, platform, graph, result)] : [],
    };
  };
  const platforms = await Promise.all(plan.platforms.map(solve));
  const epoch = plan.platforms[0]?.sourceDateEpoch;
  return {
    platforms,
    multiPlatform: plan.isMultiPlatform,
    ...(epoch === undefined ? {} : { epoch }),
    annotations: {},
    keys,
  };
}

async function runExport(
  exporter: Exporter,
  output: BuildOutput,
  engine: Engine,
  emit: EventSink,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  return shown({ name: exporter.name }, { emit, now: engine.now }, vertex =>
    exporter.export(output, createExportProgress(vertex, emit, engine.now), signal),
  );
}

function exportContext(engine: Engine): ExportContext {
  const { content, images, registryFor } = engine;
  return {
    content,
    images,
    registryFor,
    layers: engine.layerBlobs,
    repositoryOf: () => undefined,
    async open(ref, signal) {
      const tree = await resultFiles(ref, engine.layers, signal);
      return { tree, async [Symbol.asyncDispose]() {} };
    },
    loadIntoEngine: dockerEngine(process.env),
    now: engine.now,
  };
}
