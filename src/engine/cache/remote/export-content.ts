/** Writes a cache of a manifest and blobs (remote-cache facts, sections 2, 3, 11, 12 and 16). */
import { setTimeout as delay } from 'node:timers/promises';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { isDigest } from '../../../wire/oci/digest.ts';
import { goJson } from '../../../wire/oci/go-json.ts';
import { orderedDescriptor } from '../../exporter/manifest.ts';
import { type CacheRecordNode, recordGraph } from '../../solver/record-graph.ts';
import type { Timestamp } from '../../status/event.ts';
import { cacheConfig } from '../cache-config.ts';
import { readRecords } from '../read-records.ts';
import { aboutAnnotations, mergeBases } from './cache-about.ts';
import { cacheManifest, configDocument, type WrittenDocument } from './cache-manifest.ts';
import {
  CacheNotFoundError,
  type ContentReader,
  type ContentWriter,
  documentLimit,
  RemoteCacheError,
} from './content-place.ts';
import type { SourceCache } from './inline-image.ts';
import { mergeRecords } from './merge-records.ts';
import { mountKey, mountLayerOf } from './mount-layers.ts';
import type { ContentForm } from './options.ts';
import type { CacheLayer, CacheOrigin, EarlierExport } from './port.ts';
import type { CacheVertex } from './progress.ts';
import { type ReadSource, readSource } from './read-source.ts';

/** How often a merge is done again because another export came in between. */
const mergeAttempts = 100;
/** The longest wait before that, in milliseconds. */
const mergePause = 200;
/** The part of the limit from which on a cache that grows is spoken of. */
const warningShare = 0.75;

/** What is exported. */
export interface ExportedContent {
  readonly records: Records;
  /** Cache mounts; undefined when they are not to travel. */
  readonly mounts?: readonly CacheLayer[] | undefined;
  /** What the cache is to say of itself, and when it says so. */
  readonly origin?: CacheOrigin | undefined;
  /** Caches that were imported. */
  readonly earlier?: readonly EarlierExport[] | undefined;
  readonly now: Timestamp;
}

type Records = readonly CacheRecordNode<CacheLayer>[];

/** What stood under the tag before. */
interface Before {
  readonly root: Descriptor;
  readonly bytes: Uint8Array;
  readonly source: ReadSource;
  readonly records: Records;
  /** Reads a blob from there. */
  readonly open: (blob: Descriptor) => CacheLayer['open'];
}

/**
 * Writes records under a tag. What is there already is not sent again, and an export with nothing new leaves the manifest
 * that is there.
 *
 * @returns the manifest; undefined when there is no layer, and so nothing to write.
 * @throws RemoteCacheError
 */
export async function exportContent(
  exported: ExportedContent,
  form: ContentForm,
  merge: boolean,
  writer: ContentWriter,
  vertex: CacheVertex,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  for (let attempt = 1; attempt <= mergeAttempts; attempt++) {
    const root = await resolve(writer, signal);
    const written = await exportOnce(exported, form, merge, root, writer, vertex, signal);
    if (written !== 'overtaken') return written;
    await delay(Math.random() * mergePause, undefined, { signal });
  }
  throw new RemoteCacheError('other exports to the same place never stop: merge=true cannot keep the records of all');
}

async function exportOnce(
  exported: ExportedContent,
  form: ContentForm,
  merge: boolean,
  root: Descriptor | undefined,
  writer: ContentWriter,
  vertex: CacheVertex,
  signal: AbortSignal,
): Promise<Descriptor | 'overtaken' | undefined> {
  const merged = merge && root !== undefined ? await readBefore(root, writer, vertex, signal) : undefined;
  const { records: ours, mounts } = exported;
  const records = merged === undefined ? ours : mergeRecords(merged.records, ours);
  const layers = layersOf(records);
  const travelling = [...(mounts ?? []), ...keptMounts(merged, mounts)];
  const written = documents(records, layers, travelling, form, config => annotationsOf(exported, merged, config));
  if (written === undefined) {
    await vertex.step('skipping cache export for empty result', async () => undefined);
    return undefined;
  }
  checkSize(written.config, 'config', vertex);
  checkSize(written.manifest, 'manifest', vertex);
  const isSame = root?.digest === written.manifest.descriptor.digest;
  const before =
    isSame || root === undefined ? undefined : (merged ?? (await readBefore(root, writer, undefined, signal)));
  const manifest =
    before !== undefined && saysTheSame(before, written, mounts && travelling)
      ? keptManifest(before)
      : written.manifest;

  await Promise.all(
    [...layers.values(), ...travelling].map(layer => {
      const { digest } = layer;
      return vertex.step(`writing layer ${digest}`, () =>
        writing('layer', () => writer.putLayer(layer, signal), signal),
      );
    }),
  );
  const { config } = written;
  await vertex.step(`writing config ${config.descriptor.digest}`, () =>
    writing('config', () => writer.putDocument(config.descriptor, config.bytes, signal), signal),
  );
  const lost = before === undefined || merge ? 0 : lostRecords(before.records, records);
  if (before !== undefined && lost > 0) {
    const steps = lost === 1 ? '1 record' : `${lost} records`;
    await vertex.step(
      `replacing ${before.root.digest}: ${steps} lost that merge=true would keep`,
      async () => undefined,
    );
  }
  const kind = form.imageManifest ? 'cache image manifest' : 'cache manifest';
  const isPublished = await vertex.step(`writing ${kind} ${manifest.descriptor.digest}`, () =>
    writing(
      'manifest',
      () => writer.publish(manifest.descriptor, manifest.bytes, merge ? root?.digest : 'whatever', signal),
      signal,
    ),
  );
  return isPublished ? manifest.descriptor : 'overtaken';
}

async function resolve(writer: ContentWriter, signal: AbortSignal): Promise<Descriptor | undefined> {
  try {
    return await writer.resolve(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CacheNotFoundError) return undefined;
    throw new RemoteCacheError(`error writing layer blob: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Reads what is there. What is no cache, or a broken one, is as good as nothing.
 *
 * @param vertex - told when that means that nothing can be merged
 */
async function readBefore(
  root: Descriptor,
  writer: ContentWriter,
  vertex: CacheVertex | undefined,
  signal: AbortSignal,
): Promise<Before | undefined> {
  try {
    const bytes = await writer.manifest(root, signal);
    const source = await readSource(writer, root, async () => undefined, signal);
    const records = placedRecords(source.caches, writer);
    const open = (blob: Descriptor) => (offset: number, inner: AbortSignal) => writer.open(blob, offset, inner);
    return { root, bytes, source, records, open };
  } catch (error) {
    signal.throwIfAborted();
    vertex?.warn(`what is there cannot be read, so nothing of it is kept: ${messageOf(error)}`);
    return undefined;
  }
}

/** The records of caches, with layers that are where the caches are. */
export function placedRecords(caches: readonly SourceCache[], { open }: Pick<ContentReader, 'open'>): Records {
  const layers = new Map<string, CacheLayer>();
  for (const descriptor of caches.flatMap(cache => cache.layers)) {
    const diffId = descriptor.annotations?.['containerd.io/uncompressed'] ?? '';
    if (!isDigest(diffId)) continue;
    const { digest } = descriptor;
    layers.set(digest, { digest, descriptor, diffId, open: (offset, signal) => open(descriptor, offset, signal) });
  }
  const graph = recordGraph<CacheLayer>();
  for (const { config } of caches) readRecords(graph, config, digest => layers.get(digest));
  return graph.records();
}

/** The layers of all results by digest. Of several descriptions of one blob the oldest is taken. */
export function layersOf(records: Records): Map<string, CacheLayer> {
  const layers = new Map<string, CacheLayer>();
  const madeAt = ({ descriptor }: CacheLayer) => descriptor.annotations?.['buildkit/createdat'] ?? '';
  for (const { results } of records) {
    for (const layer of results.flatMap(result => result.layers)) {
      const known = layers.get(layer.digest);
      if (known === undefined || madeAt(layer) < madeAt(known)) layers.set(layer.digest, layer);
    }
  }
  return layers;
}

function documents(
  records: Records,
  layers: ReadonlyMap<string, CacheLayer>,
  mounts: readonly CacheLayer[],
  form: ContentForm,
  annotations: (config: string) => Readonly<Record<string, string>>,
): { readonly config: WrittenDocument; readonly manifest: WrittenDocument } | undefined {
  const json = cacheConfig(records);
  if (json.layers === undefined) return undefined;
  const descriptors = json.layers.flatMap(({ blob }) => layers.get(blob)?.descriptor ?? []);
  const config = configDocument(JSON.stringify(json));
  const entries = [...descriptors, ...mounts.map(({ descriptor }) => descriptor)];
  return { config, manifest: cacheManifest(config.descriptor, entries, form, annotations(config.descriptor.digest)) };
}

function checkSize({ descriptor }: WrittenDocument, name: string, vertex: CacheVertex): void {
  const { size } = descriptor;
  const limit = `${documentLimit} bytes, the most that BuildKit reads`;
  if (size > documentLimit) {
    throw new RemoteCacheError(
      `the ${name} of the cache would have ${size} of ${limit}: export fewer steps (mode=min), or without merge=true`,
    );
  }
  if (size > documentLimit * warningShare) vertex.warn(`the ${name} of the cache has ${size} of ${limit}`);
}

/** What the manifest says of the cache. What was imported and is exported again as it was says what it said. */
function annotationsOf(
  { origin, now, earlier = [] }: ExportedContent,
  merged: Before | undefined,
  config: string,
): Record<string, string> {
  if (origin === undefined) return {};
  const same = earlier.find(one => one.config === config);
  if (same !== undefined) return aboutAnnotations(same, same.exportedAt ?? now);
  const { manifest } = merged?.source ?? {};
  const before = manifest?.kind === 'cache' ? (manifest.about?.bases ?? []) : [];
  return aboutAnnotations({ ...origin, bases: mergeBases(before, origin.bases) }, now);
}

/** The cache mounts that stay where they are: those that are not exported anew. */
function keptMounts(merged: Before | undefined, ours: readonly CacheLayer[] = []): CacheLayer[] {
  const { manifest } = merged?.source ?? {};
  if (merged === undefined || manifest?.kind !== 'cache') return [];
  const replaced = new Set(ours.map(({ descriptor }) => mountLayerOf(descriptor)).map(one => one && mountKey(one)));
  return manifest.mounts
    .filter(mount => !replaced.has(mountKey(mount)))
    .map(({ descriptor, diffId }) => ({
      digest: descriptor.digest,
      descriptor,
      diffId,
      open: merged.open(descriptor),
    }));
}

/**
 * Whether what is there differs at most in what it says of its layers and of itself.
 *
 * @param mounts - those that are to be there; undefined when that makes no difference
 */
function saysTheSame(
  { source: { manifest: there } }: Before,
  { config, manifest }: { config: WrittenDocument; manifest: WrittenDocument },
  mounts: readonly CacheLayer[] | undefined,
) {
  if (there.kind !== 'cache') return false;
  const digests = (list: readonly { readonly digest: string }[]) => list.map(({ digest }) => digest).join();
  return (
    there.config.digest === config.descriptor.digest &&
    there.mediaType === manifest.descriptor.mediaType &&
    (mounts === undefined || digests(there.mounts.map(mount => mount.descriptor)) === digests(mounts))
  );
}

function keptManifest({ root, bytes, source }: Before): WrittenDocument {
  const { mediaType } = source.manifest;
  return { bytes, descriptor: { mediaType, digest: root.digest, size: bytes.length } };
}

/** How many records with results are not carried on. */
function lostRecords(before: Records, after: Records): number {
  const kept = new Set(after.filter(({ results }) => results.length > 0).map(({ digest }) => digest));
  return before.filter(({ digest, results }) => results.length > 0 && !kept.has(digest)).length;
}

/** Runs work that writes a part of a cache; its failure tells which. */
export async function writing<T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal.throwIfAborted();
    throw new RemoteCacheError(`error writing ${what} blob: ${messageOf(cause)}`, { cause });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The answer that clients of BuildKit get. */
export function manifestAnswer(manifest: Descriptor): Record<string, string> {
  return { 'cache.manifest': goJson(orderedDescriptor(manifest)) };
}
