import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type BlobPlaces, blobPlaces } from '../../engine/cache/remote/blob-places.ts';
import { snapshotResults } from '../../engine/cache/snapshot-results.ts';
import { sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import type { LayerBlobSource } from '../../engine/exporter/image-writer.ts';
import { layerBlobSource } from '../../engine/exporter/layer-blob-source.ts';
import { type CacheMountStore, openCacheMounts } from '../../engine/ops/exec/cache-mount.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import { createSolver, type Solver } from '../../engine/solver/solver.ts';
import type { Timestamp } from '../../engine/status/event.ts';
import { type BuildkitdConfig, DEFAULT_REGISTRY_HOST, loadBuildkitdConfig } from '../../host/config/buildkitd-toml.ts';
import { credentialsFor, loadDockerConfig } from '../../host/config/docker-config.ts';
import { outcropRoot, runtimeDirectory } from '../../host/config/paths.ts';
import type { Runtime, RuntimeOptions } from '../../host/runtime/runtime.ts';
import { type ContentStore, openContentStore } from '../../store/content/content-store.ts';
import { type ImageStore, openImageStore } from '../../store/content/images.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import { shareStore } from '../../store/lock.ts';
import { type LayerStore, openLayerStore } from '../../store/snapshot/layer-store.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { hostPlatform, normalizePlatform } from '../../wire/oci/platform.ts';
import { createRegistryClient, type RegistryAccess, type RegistryClient } from '../../wire/registry/client.ts';
import { lazyRuntime } from './lazy-runtime.ts';
import { resolveBuildOp } from './solver-graph.ts';

export interface EngineOptions {
  /** Where all state is kept; `$OUTCROP_ROOT` and its defaults unless given. */
  readonly root?: string;
  /** Steps that run at the same time; the number of cores unless given. */
  readonly parallelism?: number;
  /** How registries are reached; by default what `buildkitd.toml` says. */
  readonly registries?: BuildkitdConfig;
  readonly runtime?: Omit<RuntimeOptions, 'stateDir'>;
  /** The process ends, by `process.exit`, when the engine is disposed. */
  readonly endsWithProcess?: boolean;
  /** Takes the store's lock; the engine holds what it returns. By default `shareStore`. */
  readonly lockStore?: typeof shareStore | ((...args: Parameters<typeof shareStore>) => Promise<AsyncDisposable>);
}

/** Everything that builds of one root share. */
export interface Engine extends AsyncDisposable {
  readonly platform: Platform;
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly layerBlobs: LayerBlobSource;
  /** Where layers of imported caches came from. */
  readonly places: BlobPlaces;
  /** With the credentials of this machine. */
  readonly registry: RegistryClient;
  /** The client for a host; `insecure`: plain HTTP will do, and certificates are not checked. */
  readonly registryFor: (host: string, insecure: boolean) => RegistryClient;
  /**
   * A client for someone else's credentials; whoever opens it disposes it.
   * @param insecureHost a host that may be spoken to in any way
   */
  readonly openRegistry: (access: RegistryAccess, insecureHost?: string) => RegistryClient;
  readonly runtime: Runtime;
  readonly cacheMounts: CacheMountStore;
  readonly solver: Solver<Ref>;
  /** Where digests of context files are kept between builds. */
  readonly checksumState: string;
  readonly now: () => Timestamp;
}

/**
 * Opens the stores of a root, shared with other builds on it.
 * @throws StoreUnwritableError, DatabaseError, and the reason of `signal` while pruning is waited for.
 */
export async function openEngine(options: EngineOptions, signal: AbortSignal): Promise<Engine> {
  const root = options.root ?? outcropRoot();
  const now = wallClock();
  await using stack = new AsyncDisposableStack();
  const content = openContentStore(join(root, 'content'));
  const database = stack.use(openDatabase(root, { endsWithProcess: options.endsWithProcess ?? false }));
  const places = blobPlaces(database);
  const layers = stack.use(openLayerStore({ root, content, database, now, elsewhere: places.fetchOf }));
  stack.use(await (options.lockStore ?? shareStore)(root, () => layers.sweep(), signal));
  const registries = options.registries ?? (await loadBuildkitdConfig(process.env));
  const openRegistry: Engine['openRegistry'] = (access, insecureHost) =>
    registryClient(insecureHost === undefined ? registries : withInsecure(registries, insecureHost), access);
  const ownAccess: RegistryAccess = {
    credentials: async (host, inner) => credentialsFor(await loadDockerConfig(process.env), host, inner),
  };
  const registry = stack.use(openRegistry(ownAccess));
  const trusting = new Map<string, RegistryClient>();
  const registryFor: Engine['registryFor'] = (host, insecure) => {
    if (!insecure) return registry;
    const known = trusting.get(host) ?? owned.use(openRegistry(ownAccess, host));
    trusting.set(host, known);
    return known;
  };
  const runtime = stack.use(lazyRuntime({ ...options.runtime, stateDir: runtimeDirectory() }));
  const solver = createSolver<Ref>({
    resolveOp: resolveBuildOp,
    cache: { id: 'local', keys: sqliteKeyStore(database), results: snapshotResults(layers) },
    parallelism: options.parallelism ?? availableParallelism(),
    now,
  });
  const owned = stack.move();
  return {
    platform: normalizePlatform(hostPlatform()),
    root,
    database,
    content,
    images: openImageStore(database),
    layers,
    layerBlobs: layerBlobSource(layers),
    places,
    registry,
    registryFor,
    openRegistry,
    runtime,
    cacheMounts: openCacheMounts(join(root, 'cache-mounts')),
    solver,
    checksumState: join(root, 'checksums'),
    now,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Nanoseconds since the epoch that never run backwards while the process lives. */
function wallClock(): () => Timestamp {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return () => process.hrtime.bigint() + offset;
}

/** The configuration in which a host may be spoken to in any way. */
function withInsecure(config: BuildkitdConfig, host: string): BuildkitdConfig {
  const known = config.registries.get(host) ?? DEFAULT_REGISTRY_HOST;
  return { ...config, registries: new Map([...config.registries, [host, { ...known, insecure: true, http: true }]]) };
}

/** A client with the registries of the configuration; credentials are looked up when a registry asks for them. */
function registryClient(
  { registries, maxRegistryConcurrency }: BuildkitdConfig,
  access: RegistryAccess,
): RegistryClient {
  return createRegistryClient({
    hosts: registries,
    ...access,
    ...(maxRegistryConcurrency === undefined ? {} : { maxConcurrency: maxRegistryConcurrency }),
  });
}
