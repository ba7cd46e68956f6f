import type { MessageInitShape } from '@bufbuild/protobuf';
import { earlierExports } from '../../engine/cache/remote/build-caches.ts';
import { identityOf, openCacheImports, type RemoteImport } from '../../engine/cache/remote/import.ts';
import { objectHttp } from '../../engine/cache/remote/object-http.ts';
import type { CacheBase, CacheExportDeps, CacheImportDeps, CacheRequest } from '../../engine/cache/remote/port.ts';
import type { ImageMaterial } from '../../engine/exporter/provenance-materials.ts';
import type { FrontendCall } from '../../engine/exporter/provenance-request.ts';
import { type SourcePolicy, sourcePolicy } from '../../engine/source/source-policy.ts';
import type { Sources } from '../../engine/source/sources.ts';
import type { BuildEvent, EventSink, Timestamp } from '../../engine/status/event.ts';
import { OtherSourceError } from '../../plan/frontend/host.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Definition, PlatformSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { type BuildScope, openBuildScope } from '../builder/build-scope.ts';
import { cacheBase, cacheDeps } from '../builder/cache-deps.ts';
import { newID } from '../builder/embedded-host.ts';
import type { Engine } from '../builder/engine.ts';
import { fillingEngine } from '../builder/filling-engine.ts';
import { resultFiles } from '../builder/result-files.ts';
import { requireLlbCapabilities } from './capabilities.ts';
import type { DaemonServices } from './daemon-services.ts';
import { GraphError } from './error-status.ts';
import { runDockerfileFrontend } from './frontend-dockerfile.ts';
import type { FrontendResult, ResultRef } from './frontend-result.ts';
import { sourceMeta } from './gateway/source-meta.ts';
import type { RegistryFor } from './registry-pool.ts';
import { sessionDirectories } from './session-cache.ts';
import { openSessionSources } from './session-sources.ts';
import { type ClientSolve, frontendCaches } from './solve-request.ts';
import { createSourceJudge } from './source-judge.ts';
import { platformMessage } from './wire-values.ts';
import type { Worker } from './worker.ts';

/** A frontend to run. */
export interface FrontendRequest {
  readonly frontend: string;
  readonly options: ReadonlyMap<string, string>;
  readonly inputs: ReadonlyMap<string, Definition>;
  readonly imports: readonly CacheRequest[];
}

/** A build of a client: its part of the engine, and what frontends do with it. */
export interface ClientBuild extends AsyncDisposable {
  readonly engine: Engine;
  readonly request: ClientSolve;
  readonly worker: Worker;
  readonly platform: Platform;
  readonly scope: BuildScope;
  readonly sources: Sources;
  /** With the credentials of the client. */
  readonly registryFor: RegistryFor;
  readonly cacheDeps: CacheImportDeps & CacheExportDeps;
  readonly startedAt: Timestamp;
  readonly emit: EventSink;
  readonly now: () => Timestamp;
  /** What the results came from, for those who tell of it later. */
  readonly graphs: readonly LoadedGraph[];
  readonly images: readonly ImageMaterial[];

  /**
   * The source to take in place of another. Throws what SourceJudge does.
   * @param policy in place of the build's
   */
  judge(
    source: ReturnType<SourcePolicy>,
    platform: MessageInitShape<typeof PlatformSchema>,
    policy: SourcePolicy | undefined,
    signal: AbortSignal,
  ): Promise<ReturnType<SourcePolicy>>;
  /** Reads a graph. Rejects with StatusError, DefinitionError and BuildError for one that cannot be solved. */
  load(definition: Definition): Promise<LoadedGraph>;
  /**
   * The files of a graph that a frontend made, to be made when they are needed; undefined for the empty graph. Rejects with
   * what `load` does.
   */
  makeRef(definition: Definition, call: FrontendCall): Promise<ResultRef | undefined>;
  /** The calls of frontends that made graphs, by the graphs' names; without those that none made, or several that differ. */
  callsOf(inputs: ReadonlyMap<string, Definition>): ReadonlyMap<string, FrontendCall>;
  /**
   * The result that a graph alone is.
   * @param policy for its sources, in place of the build's
   */
  definitionResult(
    definition: Definition | undefined,
    imports: readonly CacheRequest[],
    policy?: SourcePolicy,
  ): Promise<FrontendResult>;
  /** Runs a frontend to its end. Rejects with FrontendError. */
  runFrontend(request: FrontendRequest, signal: AbortSignal): Promise<FrontendResult>;
  /** The files of a result, made if need be, and on the disk. */
  files(ref: ResultRef, signal: AbortSignal): Promise<FileTree>;
  /** Caches that all graphs of the build are looked up in. */
  useImports(imports: readonly RemoteImport[]): void;
  /** Takes something that is to end with the build. */
  own<T extends AsyncDisposable>(resource: T): T;
  /** An image that was looked up. */
  noteImage(image: ImageMaterial): void;
}

/** Who is told of a build, and what earlier attempts of it came to know. */
interface ClientBuildOptions {
  readonly emit: EventSink;
  /** Told of each event before `emit` is. */
  readonly onEvent: (event: BuildEvent) => void;
  /** Layers of imported caches that cannot be had; the build adds those that it finds. */
  readonly lost: Set<string>;
}

/** Opens a build for a client. What it holds is released when it is disposed. */
export function openClientBuild(
  services: DaemonServices,
  request: ClientSolve,
  { emit, onEvent, lost }: ClientBuildOptions,
): ClientBuild {
  const { engine, worker } = services;
  const stack = new AsyncDisposableStack();
  const graphs: LoadedGraph[] = [];
  const images: ImageMaterial[] = [];
  const bases: CacheBase[] = [];
  const imports = new Map<string, RemoteImport>();
  const said: EventSink = event => {
    onEvent(event);
    emit(event);
  };
  const policy = sourcePolicy(request.policies);
  const { policySession } = request;
  const sourceJudge = createSourceJudge({
    session: policySession === '' ? undefined : signal => services.sessions.get(policySession, signal),
    resolve: (asked, signal) => sourceMeta(build, asked, asked.Source ?? { identifier: '', attrs: {} }, signal),
  });
  const session = stack.use(openSessionSources(services, request.session, said));
  const scope = stack.use(
    openBuildScope(
      fillingEngine(engine, said, () => [...imports.values()]),
      {
        emit: said,
        registry: session.registryFor('', false),
        ociLayouts: session.ociLayouts,
        secrets: session.secrets,
        ssh: session.ssh,
        local: session.local,
        upload: session.upload,
        entitlements: request.entitlements,
        session: request.session,
        judge: (definition, signal) => sourceJudge.judgeAll(definition, policy, signal),
        // A frontend in the client may want to look into what failed.
        keepsFailures: request.frontend === '' && request.definition === undefined,
        onLoad: graph => void graphs.push(graph),
      },
    ),
  );
  const ended = new AbortController();
  stack.defer(() => ended.abort());

  async function load(definition: Definition, own = policy): Promise<LoadedGraph> {
    const graph = await scope.load(definition, await sourceJudge.judgeAll(definition, own, ended.signal));
    for (const { metadata } of graph.vertices) requireLlbCapabilities(Object.keys(metadata?.caps ?? {}));
    return graph;
  }

  const deps: ClientBuild['cacheDeps'] = {
    ...cacheDeps(engine, said, { graphs, bases }),
    earlier: () => earlierExports([...imports.values()]),
    registryFor: session.registryFor,
    directories: sessionDirectories(session.own),
    lost,
    http: stack.use(objectHttp()),
    env: {},
  };
  const calls = stack.use(services.calls.hold());

  /** Opens caches that a frontend names; those that are open already are the same. */
  function importsOf(requests: readonly CacheRequest[]): RemoteImport[] {
    const added = requests.filter(request => !imports.has(identityOf(request)));
    for (const one of openCacheImports(added, deps, ended.signal)) imports.set(one.id, one);
    return [...imports.values()];
  }

  async function makeRef(
    definition: Definition,
    call: FrontendCall | undefined,
    caches: readonly RemoteImport[],
    policy?: SourcePolicy,
  ): Promise<ResultRef | undefined> {
    if (definition.def.length === 0) return undefined;
    const graph = await load(definition, policy);
    if (call !== undefined) calls.note(definition, call);
    return {
      id: newID(),
      definition,
      graph,
      call,
      async solve(signal) {
        try {
          return await scope.build(graph, signal, caches);
        } catch (error) {
          if (signal.aborted) throw error;
          throw new GraphError(graph, error);
        }
      },
    };
  }

  const build: ClientBuild = {
    engine,
    request,
    worker,
    platform: worker.platforms[0],
    scope,
    sources: governed(scope.sources, (source, platform, signal) => sourceJudge.judge(source, platform, policy, signal)),
    registryFor: session.registryFor,
    cacheDeps: deps,
    startedAt: engine.now(),
    emit: said,
    now: engine.now,
    graphs,
    images,
    judge: (source, platform, own = policy, signal) => sourceJudge.judge(source, platform, own, signal),
    load: definition => load(definition),
    callsOf: calls.find,
    makeRef: (definition, call) => makeRef(definition, call, [...imports.values()]),
    useImports(more) {
      for (const one of more) imports.set(one.id, one);
    },
    async definitionResult(definition, requests, own) {
      return {
        ref: definition === undefined ? undefined : await makeRef(definition, undefined, importsOf(requests), own),
        refs: undefined,
        metadata: new Map(),
        attestations: new Map(),
      };
    },
    async runFrontend(frontendRequest, signal) {
      const { frontend } = frontendRequest;
      if (frontend !== 'dockerfile.v0' || !services.config.frontends.dockerfile)
        throw new StatusError(Code.unknown, `invalid frontend: ${frontend}`);
      importsOf([...frontendCaches(frontendRequest.options), ...frontendRequest.imports]);
      return runDockerfileFrontend(build, frontendRequest, signal);
    },
    async files(ref, signal) {
      const { result } = await ref.solve(signal);
      return resultFiles(result, engine.layers, signal);
    },
    own: resource => stack.use(resource),
    noteImage(image) {
      images.push(image);
      bases.push(...cacheBase(image, engine.now()));
    },
    [Symbol.asyncDispose]() {
      services.registries.bequeath(request.session, scope.job.companions());
      return stack.disposeAsync();
    },
  };
  return build;
}

type Judge = (
  source: ReturnType<SourcePolicy>,
  platform: MessageInitShape<typeof PlatformSchema>,
  signal: AbortSignal,
) => Promise<ReturnType<SourcePolicy>>;

/** Sources of which images are looked up as a judge says. */
function governed(sources: Sources, judge: Judge): Sources {
  return {
    ...sources,
    async imageConfig(query, signal) {
      const scheme = query.ociLayout === undefined ? 'docker-image://' : 'oci-layout://';
      const platform = platformMessage(query.platform);
      const { identifier } = await judge({ identifier: `${scheme}${query.ref}`, attrs: {} }, platform, signal);
      if (!identifier.startsWith(scheme)) throw new OtherSourceError(query.ref, identifier);
      return sources.imageConfig({ ...query, ref: identifier.slice(scheme.length) }, signal);
    },
  };
}
