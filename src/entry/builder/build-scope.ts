import { create } from '@bufbuild/protobuf';
import { DeviceError, grantDevices } from '../../engine/ops/devices.ts';
import { checkEntitlements, EntitlementError } from '../../engine/ops/entitlements.ts';
import type { CacheMountStore } from '../../engine/ops/exec/cache-mount.ts';
import type { OpContext, SecretProvider, SourceRequest, SshProvider } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import { messageOf } from '../../engine/solver/errors.ts';
import type { Op } from '../../engine/solver/op.ts';
import type { Job } from '../../engine/solver/solver.ts';
import type { OciLayouts } from '../../engine/source/oci-layout.ts';
import type { SourcePolicy } from '../../engine/source/source-policy.ts';
import { createSources, type Sources, type SourcesOptions } from '../../engine/source/sources.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { type LoadedGraph, loadDefinition } from '../../plan/llb/load.ts';
import { CDIDeviceSchema, type Definition, type ExecOp } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { BuildError } from './builder.ts';
import { cacheMountsOf } from './cache-mounts.ts';
import type { Engine } from './engine.ts';
import { solverEdge } from './solver-graph.ts';

/** What a build brings to its engine: what belongs to the one who asked for it. */
export interface BuildScopeOptions {
  readonly emit: EventSink;
  readonly ociLayouts: OciLayouts;
  readonly registry: RegistryClient;
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  /** Opens `local://` sources. */
  readonly local: (request: SourceRequest) => Op<Ref>;
  /** Gives the bytes behind a URL that means the client of the build; undefined for others. */
  readonly upload?: SourcesOptions['upload'];
  readonly entitlements: ReadonlySet<string>;
  /** Decides what sources a graph may have that a step makes; any unless said. */
  readonly judge?: ((definition: Definition, signal: AbortSignal) => Promise<SourcePolicy>) | undefined;
  /** Of the client; empty for none. */
  readonly session?: string;
  /** Whether the files of failed steps are kept for whoever asked for them to be made. */
  readonly keepsFailures?: boolean;
  /** Sees each graph that is loaded. */
  readonly onLoad: (graph: LoadedGraph) => void;
}

/** One build on an engine. Its results are there until it is disposed. */
export interface BuildScope extends AsyncDisposable {
  readonly job: Job<Ref>;
  readonly sources: Sources;
  readonly context: OpContext;
  /**
   * Reads a graph. Rejects with DefinitionError, and BuildError for one that asks for what was not allowed.
   * @param policy what it takes for its sources
   */
  load(definition: Definition, policy?: SourcePolicy): Promise<LoadedGraph>;
  /**
   * Solves a graph that was loaded here. The caches that its steps mount are emptied first where the steps ignore the cache:
   * once for the graph, as BuildKit does, so that steps of one graph see what others of it left.
   */
  build(
    graph: LoadedGraph,
    signal: AbortSignal,
    imports?: Parameters<Job<Ref>['build']>[2],
  ): ReturnType<Job<Ref>['build']>;
}

/** Opens a build on an engine. */
export function openBuildScope(engine: Engine, options: BuildScopeOptions): BuildScope {
  const { emit, secrets, ssh, entitlements } = options;
  const stack = new AsyncDisposableStack();
  const sources = stack.use(
    createSources({
      root: engine.root,
      database: engine.database,
      content: engine.content,
      images: engine.images,
      layers: engine.layers,
      registry: options.registry,
      ociLayouts: options.ociLayouts,
      secrets,
      ssh,
      emit,
      now: engine.now,
      local: options.local,
      upload: options.upload,
    }),
  );
  const job = stack.use(engine.solver.openJob({ emit, ...(options.session ? { name: options.session } : {}) }));
  const load = async (definition: Definition, policy?: SourcePolicy) => {
    const graph = loadDefinition(definition, policy && loadedBy(policy));
    for (const { op } of graph.vertices) if (op.op.case === 'exec') await checkLoad(op.op.value, engine, entitlements);
    options.onLoad(graph);
    return graph;
  };
  const context: OpContext = {
    layers: engine.layers,
    sources,
    runtime: engine.runtime,
    cacheMounts: engine.cacheMounts,
    devices: engine.devices,
    secrets,
    ssh,
    async solve(definition, signal) {
      const graph = await load(definition, await options.judge?.(definition, signal));
      return (await build(graph, signal)).result;
    },
    emit,
    platform: engine.platform,
    entitlements,
    now: engine.now,
    keepsFailures: options.keepsFailures ?? false,
  };
  const emptied = new WeakMap<LoadedGraph, Promise<void>>();
  const build: BuildScope['build'] = async (graph, signal, imports) => {
    const emptying = emptied.get(graph) ?? giveUpCaches(graph, engine.cacheMounts, signal);
    emptied.set(graph, emptying);
    await emptying;
    return job.build(solverEdge(graph, context), signal, imports);
  };
  return { job, sources, context, load, build, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Empties the caches of steps that ignore the cache. Of several mounts of one id the last one says which caches are meant. */
async function giveUpCaches({ vertices }: LoadedGraph, mounts: CacheMountStore, signal: AbortSignal): Promise<void> {
  const caches = new Map<string, boolean>();
  for (const vertex of vertices) {
    if (vertex.metadata?.ignoreCache !== true) continue;
    for (const { id, target, isSeeded } of cacheMountsOf(vertex)) caches.set(id || target, isSeeded);
  }
  for (const [id, isSeeded] of caches) await mounts.giveUp(id, isSeeded, signal);
}

/** Rewrites sources as a policy says while a graph is loaded. */
function loadedBy(policy: SourcePolicy): SourcePolicy {
  return (source, platform) => {
    try {
      return policy(source, platform);
    } catch (cause) {
      throw new BuildError(`failed to load LLB: ${messageOf(cause)}`, { cause });
    }
  };
}

/**
 * Refuses a graph that asks for what was not allowed, before anything of it runs. Its steps then ask for the devices that
 * they get, which is what their keys hold; its vertices keep their digests.
 */
async function checkLoad(op: ExecOp, { devices }: Engine, entitlements: ReadonlySet<string>): Promise<void> {
  try {
    checkEntitlements(op, entitlements);
    if (op.cdiDevices.length === 0) return;
    const granted = grantDevices(op.cdiDevices, await devices.read(), entitlements);
    op.cdiDevices = granted.map(({ name, optional }) => create(CDIDeviceSchema, { name, optional }));
  } catch (cause) {
    throw new BuildError(`failed to load LLB: ${messageOf(cause)}`, { cause, hints: hintsOf(cause) });
  }
}

function hintsOf(error: unknown): readonly string[] {
  if (error instanceof DeviceError) return error.hints;
  return error instanceof EntitlementError ? [`allow it with --allow ${error.entitlement}`] : [];
}
