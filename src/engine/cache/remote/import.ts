/** Caches that a build looks up in beside its own (remote-cache facts, sections 8 and 16). */
import { resolve as resolvePath } from 'node:path';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import type { Ref } from '../../ops/ref.ts';
import type { CacheImport } from '../../solver/cache.ts';
import { type CacheRecordNode, recordGraph } from '../../solver/record-graph.ts';
import type { Timestamp } from '../../status/event.ts';
import { type ImportedCache, importedCache } from '../imported-cache.ts';
import { readRecords } from '../read-records.ts';
import { timestampOf } from '../timestamp.ts';
import type { ReadManifest } from './cache-manifest.ts';
import { type ContentReader, RemoteCacheError } from './content-place.ts';
import { machineDirectories } from './directory-place.ts';
import { ghaWriter } from './gha-place.ts';
import type { SourceCache } from './inline-image.ts';
import type { ImportedMount } from './mount-layers.ts';
import { documentCaches, type ObjectWriter } from './object-place.ts';
import { type CacheImportOptions, type ContentPlace, type ObjectPlace, readImportOptions } from './options.ts';
import type { CacheImportDeps, CacheLayer, CacheRequest, EarlierExport } from './port.ts';
import { type CacheVertex, inVertex } from './progress.ts';
import { readSource } from './read-source.ts';
import { registryReader } from './registry-place.ts';
import { s3Writer } from './s3-place.ts';
import { type LayerMemory, type LayerReader, type SourceCacheLayers, sourceCacheLayers } from './source-layers.ts';

/** A cache that was imported, or is on its way. */
export interface RemoteImport extends CacheImport<Ref> {
  readonly cache: Promise<ImportedCache<Ref, CacheLayer> | undefined>;
  /**
   * What the source knows of a step's output, whatever it was made from: a `result`, one that is `lost` because layers of it
   * cannot be had, one that is too `old`, or only its `key`, because it was exported in mode `min` or inline. Undefined when nothing, or before the
   * source was read.
   *
   * @param digest - of the record: `recordDigest` of the step's cache map
   */
  knows(digest: string): 'result' | 'lost' | 'old' | 'key' | undefined;
  /** The cache mounts that came with it; none when it cannot be read. */
  readonly mounts: Promise<readonly ImportedMount[]>;
  /** What it says of itself, if it says anything. */
  readonly about: Promise<EarlierExport | undefined>;
}

const defaultPatience = 30_000;

/** The layers of imported results, for exports that carry them on. */
const imported = new WeakMap<object, ImportedCache<Ref, CacheLayer>>();

/** The imported cache behind a cache of the solver's; undefined for the local one. */
export function importedCacheOf(cache: object): ImportedCache<Ref, CacheLayer> | undefined {
  return imported.get(cache);
}

/**
 * Opens the sources of `--cache-from`; equal ones are one. They are read at once, side by side, each under a vertex of
 * its own. One that cannot be read ends its vertex with the reason, and is empty.
 *
 * @throws CacheOptionsError at once when a request cannot be obeyed.
 */
export function openCacheImports(
  requests: readonly CacheRequest[],
  deps: CacheImportDeps,
  signal: AbortSignal,
): RemoteImport[] {
  const byId = new Map<string, { readonly request: CacheRequest; readonly options: CacheImportOptions }>();
  for (const request of requests) {
    const id = identityOf(request);
    if (!byId.has(id)) byId.set(id, { request, options: readImportOptions(request, deps.env) });
  }
  return [...byId].map(([id, { options }]) => openImport(id, options, deps, signal));
}

/** The name of a source: a registry's reference, otherwise the type and a hash. */
export function identityOf({ type, attributes }: CacheRequest): string {
  const { ref } = attributes;
  if (type === 'registry' && ref !== undefined) return ref;
  const members = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${type}:${fnv64(JSON.stringify(members))}`;
}

function fnv64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

function openImport(
  id: string,
  { place, maxAge }: CacheImportOptions,
  given: CacheImportDeps,
  signal: AbortSignal,
): RemoteImport {
  /** By the digest of a step's records: the layers of each result. */
  const known = new Map<string, (readonly CacheLayer[])[]>();
  /** Those of them that had a result which is too old. */
  const old = new Set<string>();
  const { lost = new Set() } = given;
  const deps = { ...given, lost };
  const source = { kind: 'cache-source', id, ...placeName(place) } as const;
  const reading = inVertex(`importing cache manifest from ${id}`, deps, async vertex => {
    const read = await withPatience(deps.patience ?? defaultPatience, signal, inner =>
      readRecordsOf(id, place, deps, vertex, inner),
    );
    const { records, layers } = read;
    dateResults(records);
    if (maxAge !== undefined) dropOlder(records, deps.now() - BigInt(Math.round(maxAge * 1e6)), old, vertex);
    for (const { digest, inputs, results } of records) {
      if (inputs.length === 0) continue;
      const all = known.get(digest) ?? [];
      known.set(digest, all);
      for (const result of results) all.push(result.layers);
    }
    const [newest] = records
      .flatMap(({ results }) => results.map(({ createdAt }) => createdAt))
      .sort((a, b) => Number(b - a));
    const { exportedAt } = read.about ?? {};
    const time = {
      ...(newest === undefined || newest === 0n ? {} : { newest }),
      ...(exportedAt === undefined ? {} : { exportedAt }),
    };
    deps.emit({ ...source, records: records.length, isInline: read.isInline, ...time });
    const cache = importedCache({ id, records, result: layers.result, isAvailable: layers.isAvailable });
    imported.set(cache, cache);
    return { cache, mounts: read.mounts, about: read.about };
  });
  const whole = reading.catch(error => {
    deps.emit({ ...source, error: error instanceof Error ? error.message : String(error) });
    return undefined;
  });
  return {
    id,
    cache: whole.then(read => read?.cache),
    mounts: whole.then(read => read?.mounts ?? []),
    about: whole.then(read => read?.about),
    knows(digest) {
      const results = known.get(digest);
      if (results === undefined) return undefined;
      if (results.some(layers => layers.every(layer => !lost.has(layer.digest)))) return 'result';
      if (results.length > 0) return 'lost';
      return old.has(digest) ? 'old' : 'key';
    },
  };
}

/** Where a source lies, for people, unless that is its identity. */
function placeName(place: CacheImportOptions['place']): { readonly name?: string } {
  if (typeof place === 'string' || place.type === 'registry') return {};
  if (place.type === 'local') return { name: resolvePath(place.directory) };
  if (place.type === 's3') return { name: `s3://${place.bucket}/${place.manifests}${place.names[0] ?? ''}` };
  return { name: `the GitHub Actions cache, scope ${place.name}` };
}

/** Runs work that gives up after a time, with a reason that names the time. */
async function withPatience<T>(
  milliseconds: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(
    () =>
      late.abort(new RemoteCacheError(`it was not read within ${milliseconds / 1000} s: the build goes on without it`)),
    milliseconds,
  );
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    throw late.signal.aborted && !signal.aborted ? late.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** The reader of a place. */
export function readerOf(
  place: ContentPlace,
  { directories = machineDirectories, registryFor }: Pick<CacheImportDeps, 'directories' | 'registryFor'>,
): ContentReader {
  if (place.type === 'local') return directories.reader(place.directory, place.tag, place.digest);
  const { reference, insecure } = place;
  return registryReader(registryFor(reference.domain, insecure), reference);
}

/** Reads and writes a place of objects. */
export function objectsOf(place: ObjectPlace, { http, env }: Pick<CacheImportDeps, 'http' | 'env'>): ObjectWriter {
  return place.type === 's3' ? s3Writer(place, http, env) : ghaWriter(place, http);
}

async function readRecordsOf(
  id: string,
  place: ContentPlace | ObjectPlace | string,
  deps: CacheImportDeps,
  vertex: CacheVertex,
  signal: AbortSignal,
): Promise<{
  readonly records: readonly CacheRecordNode<CacheLayer>[];
  readonly layers: SourceCacheLayers;
  readonly isInline: boolean;
  readonly mounts: readonly ImportedMount[];
  readonly about: EarlierExport | undefined;
}> {
  if (typeof place === 'string') throw new RemoteCacheError(place);
  const { reader, caches, manifest } = await readCaches(place, deps, vertex, signal);
  const descriptors = caches.flatMap(cache => cache.layers);
  const layers = sourceCacheLayers(id, descriptors, reader, deps, vertex.warn, memoryOf(id, place, deps));
  const graph = recordGraph<CacheLayer>();
  for (const { config } of caches) readRecords(graph, config, layers.find);
  const isCache = manifest?.kind === 'cache';
  const mounts = (isCache ? manifest.mounts : []).map(mount => ({
    ...mount,
    source: id,
    // Opened when it is read: a file that is not there would fail with nobody to hear of it.
    async *open(offset: number, inner: AbortSignal) {
      yield* reader.open(mount.descriptor, offset, inner);
    },
  }));
  const isInline = manifest !== undefined && !isCache;
  const about = isCache && manifest.about ? { ...manifest.about, config: manifest.config.digest } : undefined;
  return { records: graph.records(), layers, isInline, mounts, about };
}

/** Notes where the layers of a source are. A directory of a client is out of reach once its build has ended. */
function memoryOf(
  id: string,
  place: ContentPlace | ObjectPlace,
  { places, directories }: Pick<CacheImportDeps, 'places' | 'directories'>,
): LayerMemory | undefined {
  if (places === undefined) return undefined;
  const isHere = place.type === 'local' && directories === undefined;
  const directory = isHere ? resolvePath(place.directory) : undefined;
  return {
    remember: blobs => places.remember(place.type === 'local' ? place.directory : id, directory, blobs),
    forget: places.forget,
  };
}

async function readCaches(
  place: ContentPlace | ObjectPlace,
  deps: CacheImportDeps,
  vertex: CacheVertex,
  signal: AbortSignal,
): Promise<{
  readonly reader: LayerReader;
  readonly caches: readonly SourceCache[];
  readonly manifest?: ReadManifest;
}> {
  if (place.type === 's3' || place.type === 'gha') {
    const reader = objectsOf(place, deps);
    return { reader, caches: documentCaches(await reader.documents(signal)) };
  }
  const reader = readerOf(place, deps);
  const root = await resolve(reader, place, signal);
  const showType = (mediaType: string) =>
    vertex.step(`inferred cache manifest type: ${mediaType}`, async () => undefined);
  const { caches, manifest } = await readSource(reader, root, showType, signal);
  return { reader, caches, manifest };
}

async function resolve(reader: ContentReader, place: ContentPlace, signal: AbortSignal): Promise<Descriptor> {
  try {
    return await reader.resolve(signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (place.type === 'local' || !(cause instanceof Error)) throw cause;
    throw new RemoteCacheError(`failed to configure registry cache importer: ${cause.message}`, { cause });
  }
}

/** Results without a time (chains of inline caches) were made when their top layer was. */
function dateResults(records: readonly CacheRecordNode<CacheLayer>[]): void {
  for (const { results } of records) {
    for (const [index, result] of results.entries()) {
      if (result.createdAt !== 0n) continue;
      const made = result.layers.at(-1)?.descriptor.annotations?.['buildkit/createdat'];
      results[index] = { ...result, createdAt: timestampOf(made) ?? 0n };
    }
  }
}

/** Leaves out results that were made before a time. @param old takes the records that had some */
function dropOlder(
  records: readonly CacheRecordNode<CacheLayer>[],
  oldest: Timestamp,
  old: Set<string>,
  vertex: CacheVertex,
): void {
  let dropped = 0;
  for (const { digest, results } of records) {
    const kept = results.filter(({ createdAt }) => createdAt >= oldest);
    dropped += results.length - kept.length;
    if (kept.length < results.length) old.add(digest);
    results.splice(0, results.length, ...kept);
  }
  const [are, they] = dropped === 1 ? ['1 result is', 'it is'] : [`${dropped} results are`, 'they are'];
  if (dropped > 0) vertex.warn(`${are} older than max-age allows: ${they} not used`);
}
