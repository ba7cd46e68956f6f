import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type BlobPlaces, blobPlaces } from '../../engine/cache/remote/blob-places.ts';
import { snapshotResults } from '../../engine/cache/snapshot-results.ts';
import { sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import type { ImageLayers } from '../../engine/exporter/image-writer.ts';
import { layerBlobSource } from '../../engine/exporter/layer-blob-source.ts';
import { type CacheMountStore, openCacheMounts } from '../../engine/ops/exec/cache-mount.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import { createSolver, type Solver } from '../../engine/solver/solver.ts';
import type { Timestamp } from '../../engine/status/event.ts';
import { type Devices, openDevices } from '../../host/cdi/devices.ts';
import { type BuildkitdConfig, loadBuildkitdConfig } from '../../host/config/buildkitd-toml.ts';
import { outcropRoot, runtimeDirectory } from '../../host/config/paths.ts';
import type { Runtime, RuntimeOptions } from '../../host/runtime/runtime.ts';
import { type ContentStore, openContentStore } from '../../store/content/content-store.ts';
import { type ImageStore, openImageStore } from '../../store/content/images.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import { shareStore } from '../../store/lock.ts';
import { type LayerStore, openLayerStore } from '../../store/snapshot/layer-store.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { hostPlatform, normalizePlatform } from '../../wire/oci/platform.ts';
import { lazyRuntime } from './lazy-runtime.ts';
import { openRegistries, type Registries } from './registries.ts';
import { resolveBuildOp } from './solver-graph.ts';

export interface EngineOptions {
  /** Where all state is kept; `$OUTCROP_ROOT` and its defaults unless given. */
  readonly root?: string;
  /** Steps that run at the same time; the number of cores unless given. */
  readonly parallelism?: number;
  /** How registries are reached, and where devices are described; by default what `buildkitd.toml` says. */
  readonly config?: BuildkitdConfig;
  readonly runtime?: Omit<RuntimeOptions, 'stateDir'>;
  /** The process ends, by `process.exit`, when the engine is disposed. */
  readonly endsWithProcess?: boolean;
  /** Takes the store's lock; the engine holds what it returns. By default `shareStore`. */
  readonly lockStore?: typeof shareStore | ((...args: Parameters<typeof shareStore>) => Promise<AsyncDisposable>);
}

/** Everything that builds of one root share. */
export interface Engine extends Registries {
  readonly platform: Platform;
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly layerBlobs: ImageLayers;
  /** Where layers of imported caches came from. */
  readonly places: BlobPlaces;
  readonly runtime: Runtime;
  readonly cacheMounts: CacheMountStore;
  readonly devices: Devices;
  readonly solver: Solver<Ref>;
  /** Steps that run at the same time. */
  readonly parallelism: number;
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
  const config = options.config ?? (await loadBuildkitdConfig(process.env));
  await using stack = new AsyncDisposableStack();
  const content = openContentStore(join(root, 'content'));
  const database = stack.use(openDatabase(root, { endsWithProcess: options.endsWithProcess ?? false }));
  const places = blobPlaces(database);
  const layers = stack.use(openLayerStore({ root, content, database, now, elsewhere: places.fetchOf }));
  stack.use(await (options.lockStore ?? shareStore)(root, () => layers.sweep(), signal));
  const { registry, registryFor, openRegistry } = stack.use(openRegistries(config));
  const runtime = stack.use(lazyRuntime({ ...options.runtime, stateDir: runtimeDirectory() }));
  const parallelism = options.parallelism ?? availableParallelism();
  const solver = createSolver<Ref>({
    resolveOp: resolveBuildOp,
    cache: { id: 'local', keys: sqliteKeyStore(database), results: snapshotResults(layers) },
    parallelism,
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
    devices: openDevices(config.devices),
    solver,
    parallelism,
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
