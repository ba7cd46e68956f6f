import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, hexOf, isDigest } from '../../wire/oci/digest.ts';
import { type WorkerPool, workerPool } from './pool.ts';
import { BlobMissingError, DigestMismatchError, errorCode, explainWriteError } from './store-error.ts';

/** A blob's digest and size in bytes. */
interface BlobInfo {
  readonly digest: Digest;
  readonly size: number;
}

/** Where the bytes of a blob come from. */
type ByteSource = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Blobs by digest, kept as an OCI image layout without an index (OCI image spec, image-layout.md): `oci-layout`,
 * `blobs/sha256/<hex>`, and `ingest/` for what is being written. A blob appears by an atomic rename once its digest is
 * known, so writers of the same digest never disturb each other, in one process or several. Blobs are not synced one by
 * one: what a crash of the machine damages is found by digest.
 */
export interface ContentStore {
  readonly root: string;
  /** Whether the blob is there, and has that size if one is given. */
  has(digest: Digest, size?: number): boolean;
  /** Its size in bytes, or undefined if it is not there. */
  size(digest: Digest): number | undefined;
  /** Where its file is or would be. The file is never changed in place. */
  path(digest: Digest): string;
  /** Its bytes as a stream, not verified; `start` and `end` count bytes, `end` is not included. */
  read(digest: Digest, range?: { readonly start?: number; readonly end?: number }): AsyncIterable<Uint8Array>;
  /** All its bytes, verified: for documents. Throws `BlobMissingError`; a damaged blob is removed and `DigestMismatchError` thrown. */
  bytes(digest: Digest, signal?: AbortSignal): Promise<Buffer>;
  /**
   * Stores bytes. If `expected.digest` is there already, the source is closed unread. Throws `DigestMismatchError` when
   * digest or size differ from the expected ones, `StoreUnwritableError`, and what the source throws; nothing is left
   * behind then.
   */
  write(source: ByteSource, expected?: Partial<BlobInfo>, signal?: AbortSignal): Promise<BlobInfo>;
  /** A new path in `ingest/` for a file that its writer hashes itself and then hands to `adopt`. */
  ingestPath(): string;
  /** Moves a finished file of `ingest/` into place. */
  adopt(path: string, blob: BlobInfo): void;
  /** Hashes the blob again in a worker. A damaged one is removed. Returns whether it is there and sound. */
  verify(digest: Digest, signal?: AbortSignal): Promise<boolean>;
  /** Removes a blob; returns whether it was there. */
  delete(digest: Digest): boolean;
  /** All blobs, in order of their digests. */
  list(): BlobInfo[];
  /** Removes what unfinished writers left in `ingest/`. Only when no other process uses the store. */
  sweep(): void;
}

/**
 * Opens the content store in a directory, made if missing. Throws `StoreUnwritableError` when it cannot be.
 */
export function openContentStore(root: string, pool: () => WorkerPool = workerPool): ContentStore {
  const blobs = join(root, 'blobs', 'sha256');
  const ingest = join(root, 'ingest');
  try {
    mkdirSync(blobs, { recursive: true });
    mkdirSync(ingest, { recursive: true });
    writeLayoutFile(root, ingest);
  } catch (error) {
    throw explainWriteError(error, root);
  }
  const path = (digest: Digest): string => join(blobs, hexOf(digest));
  const ingestPath = (): string => join(ingest, randomUUID());

  const store: ContentStore = {
    root,
    path,
    ingestPath,
    has(digest, size) {
      const found = store.size(digest);
      return found !== undefined && (size === undefined || found === size);
    },
    size(digest) {
      return statSync(path(digest), { throwIfNoEntry: false })?.size;
    },
    async *read(digest, range = {}) {
      if (range.end !== undefined && range.end <= (range.start ?? 0)) return;
      const stream = createReadStream(path(digest), {
        highWaterMark: READ_SIZE,
        ...(range.start === undefined ? {} : { start: range.start }),
        ...(range.end === undefined ? {} : { end: range.end - 1 }),
      });
      try {
        for await (const chunk of stream) yield chunk;
      } catch (error) {
        throw missing(error, digest);
      }
    },
    async bytes(digest, signal) {
      let content: Buffer;
      try {
        content = await readFile(path(digest), signal === undefined ? {} : { signal });
      } catch (error) {
        throw missing(error, digest);
      }
      const actual = digestOf(content);
      if (actual === digest) return content;
      store.delete(digest);
      throw new DigestMismatchError(`blob ${digest}`, digest, actual);
    },
    async write(source, expected = {}, signal) {
      signal?.throwIfAborted();
      if (expected.digest !== undefined && store.has(expected.digest, expected.size)) {
        await close(source);
        return { digest: expected.digest, size: expected.size ?? store.size(expected.digest) ?? 0 };
      }
      const temporary = ingestPath();
      try {
        const blob = await ingestBytes(source, temporary, expected, root, signal);
        await rename(temporary, path(blob.digest));
        return blob;
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    },
    adopt(file, blob) {
      try {
        renameSync(file, path(blob.digest));
      } catch (error) {
        throw explainWriteError(error, root);
      }
    },
    async verify(digest, signal) {
      if (!store.has(digest)) return false;
      const hashed = await pool().run('hashFile', { path: path(digest) }, signal);
      if (hashed.digest === digest) return true;
      store.delete(digest);
      return false;
    },
    delete(digest) {
      return removeFile(path(digest));
    },
    list() {
      const found: BlobInfo[] = [];
      for (const name of readdirSync(blobs).sort()) {
        const digest = `sha256:${name}`;
        const size = isDigest(digest) ? store.size(digest) : undefined;
        if (isDigest(digest) && size !== undefined) found.push({ digest, size });
      }
      return found;
    },
    sweep() {
      for (const name of readdirSync(ingest)) removeFile(join(ingest, name));
    },
  };
  return store;
}

const READ_SIZE = 256 * 1024;

function missing(error: unknown, digest: Digest): unknown {
  return errorCode(error) === 'ENOENT' ? new BlobMissingError(digest, error) : error;
}

function removeFile(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function writeLayoutFile(root: string, ingest: string): void {
  const path = join(root, 'oci-layout');
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  const temporary = join(ingest, randomUUID());
  writeFileSync(temporary, '{"imageLayoutVersion":"1.0.0"}');
  renameSync(temporary, path);
}

async function close(source: ByteSource): Promise<void> {
  if (source instanceof Uint8Array || !(Symbol.asyncIterator in source)) return;
  await source[Symbol.asyncIterator]().return?.();
}

async function ingestBytes(
  source: ByteSource,
  path: string,
  expected: Partial<BlobInfo>,
  root: string,
  signal: AbortSignal | undefined,
): Promise<BlobInfo> {
  const hash = createHash('sha256');
  let size = 0;
  const subject = expected.digest === undefined ? 'the blob' : `blob ${expected.digest}`;
  const file = await open(path, 'wx', 0o644).catch(error => {
    throw explainWriteError(error, root);
  });
  try {
    for await (const chunk of source instanceof Uint8Array ? [source] : source) {
      signal?.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      if (expected.size !== undefined && size > expected.size) {
        throw new DigestMismatchError(subject, `${expected.size} bytes`, 'more');
      }
      await file.writeFile(chunk).catch(error => {
        throw explainWriteError(error, root);
      });
    }
  } finally {
    await file.close();
  }
  const digest: Digest = `sha256:${hash.digest('hex')}`;
  if (expected.size !== undefined && size !== expected.size) {
    throw new DigestMismatchError(subject, `${expected.size} bytes`, `${size} bytes`);
  }
  if (expected.digest !== undefined && digest !== expected.digest) {
    throw new DigestMismatchError(subject, expected.digest, digest);
  }
  return { digest, size };
}
