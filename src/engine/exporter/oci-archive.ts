import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentStore } from '../../store/content/content-store.ts';
import { encodeTarHeader, roundUp, TAR_END, type TarHeader, TarType } from '../../store/content/tar-header.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { parseIndex } from '../../wire/oci/manifest.ts';
import {
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../../wire/oci/reference.ts';
import type { WrittenImage } from './image-writer.ts';
import { layoutIndex } from './manifest.ts';

const LAYOUT = '{"imageLayoutVersion":"1.0.0"}';
const REF_NAME = 'org.opencontainers.image.ref.name';

/** What an archive or layout says of the image in it. */
export interface ArchiveOptions {
  readonly names: readonly string[];
  /** `org.opencontainers.image.created`, added to the top descriptor. */
  readonly created: Readonly<Record<string, string>>;
  /** Also write `manifest.json`, which `docker load` reads. */
  readonly docker: boolean;
}

/** An image as the entries of an OCI archive, sorted by name (exporters facts, 6). */
export function ociArchive(
  image: WrittenImage,
  content: ContentStore,
  { names, created, docker }: ArchiveOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  return archive([{ image, names, created }], content, docker, signal);
}

/** Several images as one archive that `docker load` reads. */
export function savedImages(
  images: readonly ArchivedImage[],
  content: ContentStore,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  return archive(images, content, true, signal);
}

interface ArchivedImage extends Omit<ArchiveOptions, 'docker'> {
  readonly image: WrittenImage;
}

async function* archive(
  images: readonly ArchivedImage[],
  content: ContentStore,
  docker: boolean,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  yield encodeTarHeader(header('blobs/', TarType.directory, 0o755, 0));
  yield encodeTarHeader(header('blobs/sha256/', TarType.directory, 0o755, 0));
  const blobs = new Map(
    images.flatMap(({ image }) => image.blobs.map(blob => [hexOf(blob.digest), { blob, image }] as const)),
  );
  for (const hex of [...blobs.keys()].sort()) {
    const found = blobs.get(hex);
    if (!found) continue;
    const { blob, image } = found;
    await image.fetch(blob.digest, signal);
    yield encodeTarHeader(header(`blobs/sha256/${hex}`, TarType.file, 0o444, blob.size));
    for await (const chunk of content.read(blob.digest)) {
      signal.throwIfAborted();
      yield chunk;
    }
    yield padding(blob.size);
  }
  const named = images.map(({ image, names, created }) => ({
    image,
    created,
    references: names.map(name => withDefaultTag(parseReference(name))),
  }));
  const tops = named.flatMap(({ image, references, created }) => topDescriptors(image.descriptor, references, created));
  yield* document('index.json', 0o644, layoutIndex(tops));
  if (docker) yield* document('manifest.json', 0o644, goJson(named.map(dockerManifest)));
  yield* document('oci-layout', 0o444, LAYOUT);
  yield TAR_END;
}

/**
 * Writes an image into an OCI layout directory; images of other names in it stay, one of the same name gives way.
 * @throws the errors of `node:fs`, and ManifestError when the directory has an `index.json` that is none.
 */
export async function writeLayout(
  image: WrittenImage,
  content: ContentStore,
  dest: string,
  options: ArchiveOptions,
  signal: AbortSignal,
): Promise<void> {
  const blobs = join(dest, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  mkdirSync(join(dest, 'ingest'), { recursive: true });
  for (const blob of image.blobs) {
    const target = join(blobs, hexOf(blob.digest));
    await image.fetch(blob.digest, signal);
    if (!existsSync(target)) placeBlob(content.path(blob.digest), target);
  }
  const tags = options.names.map(name => withDefaultTag(parseReference(name)).tag ?? 'latest');
  const entries = (tags.length > 0 ? tags : ['latest']).map(tag =>
    withAnnotations(image.descriptor, { ...options.created, [REF_NAME]: tag }),
  );
  const names = new Set(entries.map(entry => entry.annotations?.[REF_NAME]));
  const indexFile = join(dest, 'index.json');
  const others = existsSync(indexFile) ? parseIndex(readFileSync(indexFile)).manifests : [];
  const kept = others.filter(entry => !names.has(entry.annotations?.[REF_NAME]));
  writeWhole(join(dest, 'oci-layout'), LAYOUT);
  writeWhole(indexFile, layoutIndex([...kept, ...entries]));
}

/** A blob never changes, so a hard link will do; across file systems it is copied and then moved into place. */
function placeBlob(from: string, target: string): void {
  try {
    linkSync(from, target);
  } catch {
    const temporary = `${target}.${process.pid}`;
    copyFileSync(from, temporary);
    renameSync(temporary, target);
  }
}

function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}

function topDescriptors(
  top: Descriptor,
  references: readonly Reference[],
  created: Readonly<Record<string, string>>,
): Descriptor[] {
  if (references.length === 0) return [withAnnotations(top, created)];
  return references.map(reference =>
    withAnnotations(top, {
      ...created,
      'io.containerd.image.name': formatReference(reference),
      [REF_NAME]: reference.tag ?? '',
    }),
  );
}

function withAnnotations(descriptor: Descriptor, annotations: Readonly<Record<string, string>>): Descriptor {
  return { ...descriptor, annotations: { ...descriptor.annotations, ...annotations } };
}

function dockerManifest({
  image,
  references,
}: {
  readonly image: WrittenImage;
  readonly references: readonly Reference[];
}): object {
  const path = ({ digest }: Descriptor) => `blobs/sha256/${hexOf(digest)}`;
  return {
    Config: image.config ? path(image.config) : '',
    RepoTags: references.length > 0 ? references.map(familiarReference) : null,
    Layers: image.layers.map(path),
  };
}

function* document(name: string, mode: number, text: string): Generator<Uint8Array> {
  const bytes = Buffer.from(text);
  yield encodeTarHeader(header(name, TarType.file, mode, bytes.length));
  yield bytes;
  yield padding(bytes.length);
}

function header(name: string, type: string, mode: number, size: number): TarHeader {
  return { name, type, mode, uid: 0, gid: 0, size, mtime: 0 };
}

function padding(size: number): Uint8Array {
  return new Uint8Array(roundUp(size) - size);
}
