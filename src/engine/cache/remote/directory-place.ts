/** A cache in a directory, an OCI layout that clients of BuildKit read and write too (remote-cache facts, section 11). */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { chmod, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileLock, lockFile } from '../../../host/system/lock.ts';
import { openContentStore } from '../../../store/content/content-store.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type Digest, digestOf, hexOf } from '../../../wire/oci/digest.ts';
import { type Index, parseIndex, parseManifest } from '../../../wire/oci/manifest.ts';
import { layoutIndex } from '../../exporter/manifest.ts';
import { CacheNotFoundError, type ContentReader, type ContentWriter, RemoteCacheError } from './content-place.ts';
import type { CacheDirectories } from './port.ts';

const refName = 'org.opencontainers.image.ref.name';
const imageName = 'io.containerd.image.name';
const readSize = 256 * 1024;

/**
 * Reads the cache of a directory: that of a digest, or that of a tag.
 *
 * Its errors are those of BuildKit's client.
 */
export function directoryReader(directory: string, tag: string, digest?: Digest): ContentReader {
  const path = (blob: Digest) => join(directory, 'blobs', 'sha256', hexOf(blob));
  const skipped = `local cache import at ${directory} skipped`;

  async function document(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
    let bytes: Buffer;
    try {
      bytes = await readFile(path(descriptor.digest), { signal });
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw new RemoteCacheError(`${directory}: content ${descriptor.digest}: ${notFound(cause)}`, { cause });
    }
    const actual = digestOf(bytes);
    if (actual === descriptor.digest) return bytes;
    throw new RemoteCacheError(
      `${directory}: blob ${descriptor.digest} is damaged: its bytes have the digest ${actual}`,
    );
  }

  function size(blob: Digest): number | undefined {
    return statSync(path(blob), { throwIfNoEntry: false })?.size;
  }

  return {
    async resolve(signal) {
      const found = digest === undefined ? await tagged(directory, tag, signal) : { digest, mediaType: '' };
      const bytes = size(found.digest);
      if (bytes !== undefined) return { mediaType: found.mediaType, digest: found.digest, size: bytes };
      const { digest: wanted } = found;
      throw new CacheNotFoundError(`${skipped}: digest ${wanted} unavailable: content ${wanted}: not found`);
    },
    manifest: document,
    document,
    open: (blob, offset) => createReadStream(path(blob.digest), { highWaterMark: readSize, start: offset }),
    mayHave: blob => size(blob.digest) === blob.size,
    has: async blob => size(blob.digest) === blob.size,
  };
}

/**
 * Writes the cache of a tag of a directory, which is made if missing. Entries of other tags stay.
 *
 * @throws StoreUnwritableError when the directory cannot be written, at once or later.
 */
function directoryWriter(directory: string, tag: string): ContentWriter {
  const reader = directoryReader(directory, tag);
  const store = openContentStore(directory);
  const lock = (signal: AbortSignal): Promise<FileLock> =>
    lockFile(join(directory, 'index.json.lock'), 'exclusive', signal);

  async function put(source: AsyncIterable<Uint8Array> | Uint8Array, descriptor: Descriptor, signal: AbortSignal) {
    const { digest, size } = descriptor;
    if (store.has(digest, size)) return;
    await store.write(source, { digest, size }, signal);
    await chmod(store.path(digest), 0o444);
  }

  return {
    ...reader,
    putLayer: (layer, signal) => put(layer.open(0, signal), layer.descriptor, signal),
    putDocument: (descriptor, bytes, signal) => put(bytes, descriptor, signal),
    async publish(manifest, bytes, before, signal) {
      await put(bytes, manifest, signal);
      using _ = await lock(signal);
      const entries = existsSync(join(directory, 'index.json')) ? (await readIndex(directory)).manifests : [];
      const now = findTag(entries, tag)?.digest;
      if (now === manifest.digest) return true;
      if (before !== 'whatever' && now !== before) return false;
      const { mediaType, digest, size } = manifest;
      const others = entries.filter(entry => entry.annotations?.[refName] !== tag);
      await writeIndex(directory, [...others, { mediaType, digest, size, annotations: { [refName]: tag } }]);
      return true;
    },
    async sweep(signal) {
      using _ = await lock(signal);
      const kept = new Set<string>();
      for (const entry of (await readIndex(directory)).manifests) await reach(entry);
      for (const name of await readdir(join(directory, 'blobs', 'sha256'))) {
        if (!kept.has(`sha256:${name}`)) await rm(join(directory, 'blobs', 'sha256', name), { force: true });
      }

      async function reach({ digest, mediaType }: Descriptor): Promise<void> {
        if (kept.has(digest)) return;
        kept.add(digest);
        if (!/manifest|index/.test(mediaType) || !store.has(digest)) return;
        const parsed = parseManifest(await store.bytes(digest, signal), mediaType);
        const below =
          parsed.kind === 'index' ? parsed.index.manifests : [parsed.manifest.config, ...parsed.manifest.layers];
        for (const descriptor of below) await reach(descriptor);
      }
    },
  };
}

/** The directories of this machine. */
export const machineDirectories: CacheDirectories = { reader: directoryReader, writer: directoryWriter };

async function readIndex(directory: string): Promise<Index> {
  return parseIndex(await readFile(join(directory, 'index.json')));
}

async function writeIndex(directory: string, manifests: readonly Descriptor[]): Promise<void> {
  const temporary = join(directory, 'ingest', `index.json.${process.pid}`);
  await writeFile(temporary, layoutIndex(manifests));
  await rename(temporary, join(directory, 'index.json'));
}

function findTag(entries: readonly Descriptor[], tag: string): Descriptor | undefined {
  return (
    entries.find(entry => entry.annotations?.[imageName] === tag) ??
    entries.find(entry => entry.annotations?.[refName] === tag)
  );
}

async function tagged(directory: string, tag: string, signal: AbortSignal): Promise<Descriptor> {
  const subject = `local cache import at ${directory}`;
  const found = await stat(directory).catch(() => undefined);
  if (found !== undefined && !found.isDirectory()) {
    throw new CacheNotFoundError(`${subject} not found due to err: mkdir ${directory}: not a directory`);
  }
  signal.throwIfAborted();
  const path = join(directory, 'index.json');
  let index: Index;
  try {
    index = await readIndex(directory);
  } catch (cause) {
    const reason = isErrno(cause) ? `open ${path}: ${notFound(cause)}` : messageOf(cause);
    const message = `${subject} skipped due to err: could not read ${path}: ${reason}`;
    throw isErrno(cause) && cause.code === 'ENOENT'
      ? new CacheNotFoundError(message, { cause })
      : new RemoteCacheError(message, { cause });
  }
  const entry = findTag(index.manifests, tag);
  if (entry === undefined) throw new CacheNotFoundError(`${subject} skipped: no digest found for tag ${tag}`);
  return entry;
}

function isErrno(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

/** The reason of a failed read in C's words. */
function notFound(error: unknown): string {
  if (!isErrno(error)) return messageOf(error);
  if (error.code === 'ENOENT') return 'no such file or directory';
  if (error.code === 'EACCES') return 'permission denied';
  return error.code === 'ENOTDIR' ? 'not a directory' : error.message;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
