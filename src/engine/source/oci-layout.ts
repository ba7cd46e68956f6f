import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { type Digest, digestOf, hexOf, isDigest } from '../../wire/oci/digest.ts';
import { type Index, parseIndex, parseManifest } from '../../wire/oci/manifest.ts';
import type { ImageContent } from './image-content.ts';
import type { ImageRoot } from './registry-images.ts';
import { SourceError } from './source-key.ts';

/** An image of an OCI layout as `--build-context name=oci-layout://…` names it. */
export interface OciLayoutReference {
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** The OCI layouts that a build was given, by the id that its ops name them with. */
export interface OciLayouts {
  /** An image of a layout by digest. Rejects with SourceError when there is no such layout or image. */
  open(store: string, digest: Digest, signal: AbortSignal): Promise<ImageRoot>;
  /** Any blob of a layout; its bytes are not verified. Rejects likewise. */
  openBlob(
    store: string,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: AsyncIterable<Uint8Array>; readonly size: number }>;
}

/** Layouts that are directories of this machine. */
export function directoryLayouts(directories: ReadonlyMap<string, string>): OciLayouts {
  const directoryOf = (store: string): string => {
    const directory = directories.get(store);
    if (directory === undefined)
      throw new SourceError(`unknown store ${store}: no OCI layout was given under that name`);
    return directory;
  };
  return {
    open: async (store, digest, signal) => openOciLayout(directoryOf(store), digest, signal),
    openBlob: async (store, digest, signal) => openLayoutBlob(directoryOf(store), digest, signal),
  };
}

const REF_NAME = 'org.opencontainers.image.ref.name';
const IMAGE_NAME = 'io.containerd.image.name';
const READ_SIZE = 256 * 1024;

/**
 * Reads `path[:tag][@digest]`, with or without `oci-layout://` before it.
 * @throws SourceError when the digest is none
 */
export function parseOciLayoutReference(text: string): OciLayoutReference {
  const plain = text.replace(/^oci-layout:\/\//, '');
  const at = plain.indexOf('@');
  const digest = at < 0 ? undefined : plain.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) throw new SourceError(`${text}: invalid digest "${digest}"`);
  const [path = '', tag] = (at < 0 ? plain : plain.slice(0, at)).split(/:(?=[^/]*$)/);
  return { path, ...(tag ? { tag } : {}), ...(digest === undefined ? {} : { digest }) };
}

/**
 * The digest that the reference names in its layout's `index.json`: the one given, that of the tag (`latest` when none is
 * given), or without a tag the only one there is.
 * @throws SourceError
 */
export async function resolveOciLayout(reference: OciLayoutReference): Promise<Digest> {
  if (reference.digest !== undefined) return reference.digest;
  const { path, tag } = reference;
  const { manifests } = await readLayoutIndex(path);
  const found = manifests.find(entry => hasTag(entry, tag ?? 'latest'));
  if (found !== undefined) return found.digest;
  const [only, ...others] = manifests;
  if (tag === undefined && only !== undefined && others.length === 0) return only.digest;
  const tags = manifests.map(entry => entry.annotations?.[REF_NAME]).filter(name => name !== undefined);
  const there = tags.length === 0 ? '' : `, it has ${tags.join(', ')}`;
  throw new SourceError(`OCI layout ${path} has no image tagged ${tag ?? 'latest'}${there}`);
}

function hasTag(entry: Descriptor, tag: string): boolean {
  const name = entry.annotations?.[REF_NAME];
  return (
    name === tag || name?.endsWith(`:${tag}`) === true || entry.annotations?.[IMAGE_NAME]?.endsWith(`:${tag}`) === true
  );
}

/**
 * Opens an image of a layout by digest.
 * @param path the directory with `oci-layout` and `index.json`
 * @throws SourceError when the directory is no layout or lacks the blob
 */
async function openOciLayout(path: string, digest: Digest, signal: AbortSignal): Promise<ImageRoot> {
  const content = layoutContent(path);
  const known = (await readLayoutIndex(path)).manifests.find(entry => entry.digest === digest);
  if (known !== undefined) return { root: withoutExtras(known), content };
  // Not named in the index, but perhaps below it: only its bytes tell what it is.
  const size = await blobSize(path, digest);
  const bytes = await content.document({ mediaType: '', digest, size }, signal);
  return { root: { mediaType: parseManifest(bytes).mediaType, digest, size }, content };
}

/**
 * Opens any blob of a layout. Its bytes are not verified.
 * @throws SourceError when it is not there
 */
async function openLayoutBlob(
  path: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<{ readonly bytes: AsyncIterable<Uint8Array>; readonly size: number }> {
  const size = await blobSize(path, digest);
  return { bytes: layoutContent(path).stream({ mediaType: '', digest, size }, signal), size };
}

async function blobSize(path: string, digest: Digest): Promise<number> {
  try {
    return (await stat(blobPath(path, digest))).size;
  } catch (cause) {
    throw new SourceError(`OCI layout ${path} has no blob ${digest}`, { cause });
  }
}

function withoutExtras({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

async function readLayoutIndex(path: string): Promise<Index> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(path, 'index.json'));
  } catch (cause) {
    throw new SourceError(`${path} is no OCI layout: it has no index.json that can be read`, { cause });
  }
  return parseIndex(bytes);
}

function blobPath(path: string, digest: Digest): string {
  return join(path, 'blobs', 'sha256', hexOf(digest));
}

/** The blobs of a layout directory. */
function layoutContent(path: string): ImageContent {
  return {
    async document(descriptor, signal) {
      let bytes: Buffer;
      try {
        bytes = await readFile(blobPath(path, descriptor.digest), { signal });
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw new SourceError(`OCI layout ${path} has no blob ${descriptor.digest}`, { cause });
      }
      const actual = digestOf(bytes);
      if (actual === descriptor.digest) return bytes;
      throw new SourceError(
        `blob ${descriptor.digest} of OCI layout ${path} is damaged: its bytes have the digest ${actual}`,
      );
    },
    async *stream(descriptor, signal) {
      const stream = createReadStream(blobPath(path, descriptor.digest), { highWaterMark: READ_SIZE, signal });
      try {
        for await (const chunk of stream) yield chunk;
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw new SourceError(`OCI layout ${path}: cannot read blob ${descriptor.digest}`, { cause });
      }
    },
  };
}
