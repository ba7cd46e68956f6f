/** What an exported cache holds, for those who want to know before they build with it. */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type Digest, isDigest } from '../../../wire/oci/digest.ts';
import { newestResult } from '../../solver/record-graph.ts';
import type { Timestamp } from '../../status/event.ts';
import { timestampOf } from '../timestamp.ts';
import type { CacheAbout } from './cache-about.ts';
import { RemoteCacheError } from './content-place.ts';
import { layersOf, placedRecords } from './export-content.ts';
import { identityOf, objectsOf, readerOf } from './import.ts';
import type { SourceCache } from './inline-image.ts';
import { checkedBytes } from './lost-layer.ts';
import type { MountLayer } from './mount-layers.ts';
import { documentCaches } from './object-place.ts';
import { readImportOptions } from './options.ts';
import type { CacheImportDeps, CacheRequest } from './port.ts';
import { readSource } from './read-source.ts';
import type { LayerReader } from './source-layers.ts';

/** One record: a key of a step or of a source, with its result if that was exported. */
export interface InspectedRecord {
  readonly digest: string;
  /** A source or the content of files; these never have results. */
  readonly isRoot: boolean;
  /** The records that it stands on, by their places in the list: per input the alternatives. */
  readonly inputs: readonly (readonly { readonly record: number; readonly selector: string }[])[];
  readonly result?: {
    /** Undefined when the cache does not say. */
    readonly createdAt?: Timestamp;
    /** Bottom first. */
    readonly layers: readonly Digest[];
  };
}

/** A layer that the cache names. */
export interface InspectedLayer {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes of the blob. */
  readonly size: number;
  readonly createdAt?: Timestamp;
  /** The instruction that made it, where an image's history tells. */
  readonly description?: string;
  /** Whether a result stands on it. */
  readonly isUsed: boolean;
}

/** A cache mount that travels with a cache. */
interface InspectedMount {
  /** As steps name it. */
  readonly id: string;
  /** It started with the files of an input. */
  readonly isSeeded: boolean;
  readonly description: string;
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  readonly createdAt?: Timestamp;
}

export interface CacheContents {
  /** Its name in messages: that of `--cache-from`. */
  readonly source: string;
  /** A cache of its own, caches inside images, or a document of an object store. */
  readonly kind: 'cache' | 'inline' | 'document';
  /** What the name leads to; object stores have none. */
  readonly root?: Descriptor;
  readonly records: readonly InspectedRecord[];
  readonly layers: readonly InspectedLayer[];
  /** Cache mounts that travel with it. */
  readonly mounts: readonly InspectedMount[];
  /** What it says of itself; BuildKit's caches say nothing. */
  readonly about?: CacheAbout;
  /** Layers that the config names and nothing describes: results that stand on them cannot be used. */
  readonly undescribed: readonly string[];
  /** Reads a layer's blob: the reason why it is not what its descriptor says, undefined when it is. */
  verify(layer: Pick<InspectedLayer, 'digest'>, signal: AbortSignal): Promise<string | undefined>;
}

/**
 * Reads what a cache holds, its index and its config verified; no layer is fetched.
 *
 * @throws CacheOptionsError, RemoteCacheError, ManifestError, CacheConfigError and what the place throws.
 */
export async function inspectCache(
  request: CacheRequest,
  deps: Pick<CacheImportDeps, 'registryFor' | 'http' | 'env'>,
  signal: AbortSignal,
): Promise<CacheContents> {
  const { place } = readImportOptions(request, deps.env);
  if (typeof place === 'string') throw new RemoteCacheError(place);
  const source = place.type === 'local' ? place.directory : identityOf(request);
  if (place.type === 's3' || place.type === 'gha') {
    const reader = objectsOf(place, deps);
    const caches = documentCaches(await reader.documents(signal));
    return { source, kind: 'document', ...contentsOf(caches, [], reader) };
  }
  const reader = readerOf(place, deps);
  const root = await reader.resolve(signal);
  const { manifest, caches } = await readSource(reader, root, async () => undefined, signal);
  const { mounts, about } = manifest.kind === 'cache' ? manifest : { mounts: [], about: undefined };
  return {
    source,
    kind: manifest.kind === 'cache' ? 'cache' : 'inline',
    root: { ...root, mediaType: manifest.mediaType },
    ...(about === undefined ? {} : { about }),
    ...contentsOf(caches, mounts, reader),
  };
}

function contentsOf(
  caches: readonly SourceCache[],
  mounts: readonly MountLayer[],
  reader: LayerReader,
): Pick<CacheContents, 'records' | 'layers' | 'mounts' | 'undescribed' | 'verify'> {
  const nodes = placedRecords(caches, reader);
  const places = new Map(nodes.map((node, index) => [node, index]));
  const used = layersOf(nodes);
  const described = new Map<string, Descriptor>();
  for (const descriptor of caches.flatMap(({ layers }) => layers)) {
    if (!described.has(descriptor.digest)) described.set(descriptor.digest, descriptor);
  }
  const named = new Set(caches.flatMap(({ config }) => (config.layers ?? []).map(({ blob }) => blob)));
  const usable = (digest: string) => isDigest(described.get(digest)?.annotations?.['containerd.io/uncompressed'] ?? '');
  return {
    records: nodes.map(node => {
      const result = newestResult(node);
      const top = result?.layers.at(-1)?.descriptor.annotations?.['buildkit/createdat'];
      const createdAt = result?.createdAt || timestampOf(top) || undefined;
      return {
        digest: node.digest,
        isRoot: node.inputs.length === 0,
        inputs: node.inputs.map(alternatives =>
          alternatives.map(({ record, selector }) => ({ record: places.get(record) ?? -1, selector })),
        ),
        ...(result === undefined
          ? {}
          : {
              result: {
                layers: result.layers.map(({ digest }) => digest),
                ...(createdAt === undefined ? {} : { createdAt }),
              },
            }),
      };
    }),
    layers: [...described.values()].map(descriptor => inspected(descriptor, used.has(descriptor.digest))),
    mounts: mounts.map(({ id, isSeeded, description, descriptor: { digest, size, annotations } }) => {
      const createdAt = timestampOf(annotations?.['buildkit/createdat']);
      return { id, isSeeded, description, digest, size, ...(createdAt === undefined ? {} : { createdAt }) };
    }),
    undescribed: [...named].filter(digest => !usable(digest)),
    async verify({ digest }, signal) {
      const descriptor = described.get(digest) ?? mounts.find(mount => mount.descriptor.digest === digest)?.descriptor;
      return descriptor === undefined ? 'it is not in the cache' : verifyLayer(descriptor, reader, signal);
    },
  };
}

function inspected({ digest, mediaType, size, annotations = {} }: Descriptor, isUsed: boolean): InspectedLayer {
  const { 'buildkit/createdat': created, 'buildkit/description': description } = annotations;
  const createdAt = timestampOf(created) || undefined;
  return {
    digest,
    mediaType,
    size,
    isUsed,
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(description === undefined ? {} : { description }),
  };
}

async function verifyLayer(
  descriptor: Descriptor,
  reader: LayerReader,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    for await (const _ of checkedBytes(descriptor, reader.open(descriptor, 0, signal)));
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  }
}

/** How two caches differ. Records are the same when look-ups cannot tell them apart: equal digests, and an input in common each. */
interface CacheDifference {
  readonly onlyInFirst: readonly InspectedRecord[];
  readonly onlyInSecond: readonly InspectedRecord[];
  /** Records of both that have a result in one of them only. */
  readonly resultOnlyInFirst: readonly InspectedRecord[];
  readonly resultOnlyInSecond: readonly InspectedRecord[];
  /** Records of both whose results have other layers, as the second has them. */
  readonly otherResult: readonly InspectedRecord[];
}

type Records = readonly InspectedRecord[];

/** Compares what two caches hold. */
export function diffCaches(
  { records: first }: Pick<CacheContents, 'records'>,
  second: Pick<CacheContents, 'records'>,
): CacheDifference {
  const matches = sameRecords(first, second.records);
  const matched = new Set([...matches.values()].flat());
  const pairs = [...matches].flatMap(([ours, theirs]) => theirs.map(record => [record, ours] as const));
  const resultOf = (record: InspectedRecord) => record.result?.layers.join();
  const differing = pairs.filter(([a, b]) => resultOf(a) !== resultOf(b));
  const without = (record: InspectedRecord) => record.result === undefined;
  return {
    onlyInFirst: first.filter(record => !matched.has(record)),
    onlyInSecond: second.records.filter(record => matches.get(record)?.length === 0),
    resultOnlyInFirst: differing.filter(([, b]) => without(b)).map(([a]) => a),
    resultOnlyInSecond: differing.filter(([a]) => without(a)).map(([, b]) => b),
    otherResult: differing.filter(([a, b]) => !without(a) && !without(b)).map(([, b]) => b),
  };
}

/** For each record of the second list those of the first that are the same. */
function sameRecords(first: Records, second: Records): Map<InspectedRecord, readonly InspectedRecord[]> {
  const byDigest = Map.groupBy(first, ({ digest }) => digest);
  const matches = new Map<InspectedRecord, readonly InspectedRecord[]>();
  const matchesAt = (place: number) => {
    const record = second[place];
    return record === undefined ? undefined : matches.get(record);
  };
  const isSame = (ours: InspectedRecord, theirs: InspectedRecord) =>
    ours.inputs.length === theirs.inputs.length &&
    ours.inputs.every((alternatives, index) =>
      alternatives.some(({ record, selector }) =>
        theirs.inputs[index]?.some(input => {
          const below = first[input.record];
          return below !== undefined && input.selector === selector && matchesAt(record)?.includes(below);
        }),
      ),
    );
  // Lists begin at the bottom but for a few records, so that one pass does nearly all.
  for (let left = second; left.length > 0; ) {
    const waiting: InspectedRecord[] = [];
    for (const record of left) {
      const isReady = record.inputs.flat().every(input => matchesAt(input.record) !== undefined);
      if (isReady)
        matches.set(
          record,
          (byDigest.get(record.digest) ?? []).filter(other => isSame(record, other)),
        );
      else waiting.push(record);
    }
    if (waiting.length === left.length) break;
    left = waiting;
  }
  return matches;
}
