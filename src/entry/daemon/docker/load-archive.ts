import { closeSync, createReadStream, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { imageManifest } from '../../../engine/exporter/manifest.ts';
import { detectCompression, MAGIC_LENGTH } from '../../../engine/ops/file/archive-format.ts';
import { resolveInRoot } from '../../../host/system/root-path.ts';
import { readStoredImage } from '../../../store/content/stored-image.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { hexOf, isDigest } from '../../../wire/oci/digest.ts';
import { diffIdsOf, parseImageConfig } from '../../../wire/oci/image-config.ts';
import { parseIndex } from '../../../wire/oci/manifest.ts';
import { isIndexType, isManifestType, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP } from '../../../wire/oci/media-types.ts';
import { formatReference, withDefaultTag } from '../../../wire/oci/reference.ts';
import type { Engine } from '../../builder/engine.ts';
import { ApiError } from './api-call.ts';
import { DANGLING_PREFIX, requireReference } from './stored-images.ts';

/** An image that came in an archive. */
export interface LoadedImage {
  readonly target: Descriptor;
  /** As the image store has it; undefined for one without a name. */
  readonly name: string | undefined;
}

const NAME = 'io.containerd.image.name';

/**
 * Takes the images of an unpacked archive into the store: an OCI layout, or what `docker save` wrote before there were
 * layouts. Throws ApiError for one that holds none, and the errors of the store.
 */
export async function loadArchive(engine: Engine, directory: string, signal: AbortSignal): Promise<LoadedImage[]> {
  const file = (path: string): string => resolveInRoot(directory, path);
  const index = file('index.json');
  const images = existsSync(index)
    ? await loadLayout(engine, readFileSync(index), file, signal)
    : await loadDocker(engine, file, signal);
  for (const { target, name } of images) {
    engine.images.put(name ?? `${DANGLING_PREFIX}@${target.digest}`, target);
  }
  return images;
}

async function loadLayout(
  engine: Engine,
  index: Uint8Array,
  file: (path: string) => string,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const { content } = engine;
  const loaded: LoadedImage[] = [];
  for (const { annotations, ...target } of parseIndex(index).manifests) {
    await storeDocuments(engine, target, file, signal);
    const { blobs } = await readStoredImage(content, target, signal);
    for (const { digest, size } of blobs.values()) {
      const path = file(`blobs/sha256/${hexOf(digest)}`);
      // A layout may hold some platforms of an index only.
      if (content.has(digest, size) || !existsSync(path)) continue;
      await content.write(createReadStream(path), { digest, size }, signal);
    }
    const name = annotations?.[NAME];
    loaded.push({
      target,
      name: name === undefined ? undefined : formatReference(withDefaultTag(requireReference(name))),
    });
  }
  return loaded;
}

/** Manifests, indexes and configs, from the top: only then is it known what else there is. */
async function storeDocuments(
  { content }: Engine,
  top: Descriptor,
  file: (path: string) => string,
  signal: AbortSignal,
): Promise<void> {
  const pending: Descriptor[] = [top];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const { digest, size, mediaType } = next;
    const path = isDigest(digest) ? file(`blobs/sha256/${hexOf(digest)}`) : '';
    if (!existsSync(path)) {
      if (next === top) throw new ApiError(400, `invalid archive: ${digest} is missing`);
      continue;
    }
    await content.write(readFileSync(path), { digest, size }, signal);
    if (isIndexType(mediaType)) pending.push(...parseIndex(readFileSync(path)).manifests);
    else if (isManifestType(mediaType)) {
      const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
      const config: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'config') : undefined;
      if (typeof config === 'object' && config !== null) pending.push(config as Descriptor);
    }
  }
}

interface SavedImage {
  readonly Config: string;
  readonly RepoTags: readonly string[] | null;
  readonly Layers: readonly string[] | null;
}

/** `manifest.json`, a config, and a tar for each layer. */
async function loadDocker(
  { content }: Engine,
  file: (path: string) => string,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const loaded: LoadedImage[] = [];
  for (const saved of savedImages(file)) {
    const text = readFileSync(file(saved.Config));
    const config = await content.write(text, {}, signal);
    const parsed = parseImageConfig(text);
    const diffIDs = diffIdsOf(parsed);
    const layers = [];
    for (const [index, path] of (saved.Layers ?? []).entries()) {
      const diffID = diffIDs[index];
      if (diffID === undefined) throw new ApiError(400, 'invalid archive: more layers than the config knows');
      const source = file(path);
      const isPacked = isGzip(source);
      const blob = await content.write(createReadStream(source), isPacked ? {} : { digest: diffID }, signal);
      layers.push({ descriptor: { mediaType: isPacked ? OCI_LAYER_GZIP : OCI_LAYER, ...blob }, diffID, createdAt: 0n });
    }
    const document = imageManifest({ mediaType: OCI_CONFIG, ...config }, layers, true, {});
    const manifest = await content.write(Buffer.from(document.text), {}, signal);
    const { os, architecture, variant } = parsed;
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    const target = { mediaType: document.mediaType, ...manifest, platform };
    const names = saved.RepoTags ?? [];
    if (names.length === 0) loaded.push({ target, name: undefined });
    for (const name of names) {
      loaded.push({ target, name: formatReference(withDefaultTag(requireReference(name))) });
    }
  }
  return loaded;
}

function savedImages(file: (path: string) => string): SavedImage[] {
  const path = file('manifest.json');
  if (!existsSync(path)) throw new ApiError(400, 'invalid archive: does not contain a manifest.json');
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!Array.isArray(value)) throw new ApiError(400, 'invalid archive: manifest.json is no list');
  return value as SavedImage[];
}

function isGzip(path: string): boolean {
  const start = Buffer.alloc(MAGIC_LENGTH);
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, start);
  } finally {
    closeSync(descriptor);
  }
  return detectCompression(start) === 'gzip';
}
