import { createHash } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Transform } from 'node:stream';
import { constants, crc32, createDeflateRaw, createZstdCompress } from 'node:zlib';
import type { Digest } from '../../wire/oci/digest.ts';
import type { LayerCompression } from '../../wire/oci/media-types.ts';
import { type LevelChooser, levelChooser } from './deflate-level.ts';
import { explainWriteError } from './store-error.ts';

/** How a blob is to be compressed. */
export interface BlobCompression {
  readonly type: LayerCompression;
  /** gzip 0 to 9, zstd 1 to 22; unless said the library's default, or for gzip a lower one that does nearly as well. */
  readonly level?: number;
}

/** A finished blob and what is in it. */
export interface WrittenBlob {
  readonly digest: Digest;
  /** Of the blob, in bytes. */
  readonly size: number;
  /** Digest of the bytes before compression. */
  readonly diffID: Digest;
  readonly uncompressedSize: number;
}

/** Compresses and hashes bytes on their way into a file. */
export interface BlobWriter extends Disposable {
  /** Takes bytes; they may be changed once this returns. A promise means: wait for it before the next call. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Ends the blob. Disposing without it removes the file. */
  finish(): Promise<WrittenBlob>;
}

/** gzip blocks end on a byte and look back into the one before; zstd frames stand alone, so they are larger. */
const BLOCK_SIZE: Readonly<Record<LayerCompression, number>> = { uncompressed: 1 << 18, gzip: 1 << 19, zstd: 1 << 21 };
const WINDOW = 1 << 15;
const SMALLEST_RELEASED = 1 << 18;
/** libuv's pool has four threads unless told otherwise, and file system calls need one. */
const MOST_PARALLEL = 4;
/** No name and time, operating system unknown: as Go writes it (RFC 1952, 2.3). */
const GZIP_HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/**
 * Starts a blob at a path that must not exist. Blocks are compressed in libuv's threads, several at a time, and joined in
 * order: one gzip member, or a row of zstd frames. The bytes do not depend on how many threads there are or in which
 * pieces they come. Holds a few blocks in memory, whatever the size.
 *
 * Throws `StoreUnwritableError` (also from `write` and `finish`).
 */
export function createBlobWriter(
  path: string,
  compression: BlobCompression,
  parallel: number = Math.min(availableParallelism(), MOST_PARALLEL),
): BlobWriter {
  const { type, level } = compression;
  const blockSize = BLOCK_SIZE[type];
  const file = writing(path, () => openSync(path, 'wx', 0o644));
  const plainHash = createHash('sha256');
  const blobHash = type === 'uncompressed' ? plainHash : createHash('sha256');
  const levels: LevelChooser = level === undefined ? levelChooser() : { next: () => level };
  const spare: Buffer[] = [];
  const pending: Promise<{ readonly pieces: readonly Buffer[]; readonly block: Buffer }>[] = [];
  let block: Buffer = Buffer.allocUnsafeSlow(blockSize);
  let used = 0;
  let dictionary: Buffer | undefined;
  let size = 0;
  let uncompressedSize = 0;
  let checksum = 0;
  let isOpen = true;
  let isKept = false;

  const emit = (bytes: Uint8Array): void => {
    if (type !== 'uncompressed') blobHash.update(bytes);
    size += bytes.length;
    writing(path, () => {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    });
  };

  const settleOldest = async (): Promise<void> => {
    const oldest = pending.shift();
    if (oldest === undefined) return;
    const { pieces, block: free } = await oldest;
    spare.push(free);
    for (const piece of pieces) emit(piece);
    for (const piece of pieces) release(piece);
  };

  /** Sends the block on its way. */
  const seal = (last: boolean): Promise<void> | undefined => {
    const full = block;
    const content = full.subarray(0, used);
    plainHash.update(content);
    uncompressedSize += used;
    used = 0;
    if (type === 'uncompressed') {
      emit(content);
      return undefined;
    }
    const compressed =
      type === 'gzip' ? compressGzip(content, dictionary, levels.next(content), last) : compressZstd(content, level);
    const job = compressed.then(pieces => ({ pieces, block: full }));
    // Its failure is seen when its turn comes.
    job.catch(() => {});
    pending.push(job);
    if (type === 'gzip') {
      checksum = crc32(content, checksum);
      dictionary = Buffer.from(content.subarray(Math.max(0, content.length - WINDOW)));
    }
    block = spare.pop() ?? Buffer.allocUnsafeSlow(blockSize);
    return pending.length > parallel ? settleOldest() : undefined;
  };

  const writeSlowly = async (chunk: Uint8Array, from: number, first: Promise<void>): Promise<void> => {
    // The caller waits, so the chunk stays as it is.
    await first;
    for (let at = from; at < chunk.length; ) {
      at += fill(chunk, at);
      if (used === blockSize) await seal(false);
    }
  };

  const fill = (chunk: Uint8Array, at: number): number => {
    const take = Math.min(chunk.length - at, blockSize - used);
    block.set(at === 0 && take === chunk.length ? chunk : chunk.subarray(at, at + take), used);
    used += take;
    return take;
  };

  if (type === 'gzip') emit(GZIP_HEADER);

  return {
    write(chunk) {
      for (let at = 0; at < chunk.length; ) {
        at += fill(chunk, at);
        if (used < blockSize) continue;
        const wait = seal(false);
        if (wait !== undefined) return writeSlowly(chunk, at, wait);
      }
      return undefined;
    },
    async finish() {
      // Even nothing at all has an end.
      if (used > 0 || type === 'gzip' || (type === 'zstd' && uncompressedSize === 0)) await seal(true);
      while (pending.length > 0) await settleOldest();
      if (type === 'gzip') {
        const trailer = Buffer.alloc(8);
        trailer.writeUInt32LE(checksum, 0);
        trailer.writeUInt32LE(uncompressedSize % 2 ** 32, 4);
        emit(trailer);
      }
      const diffID: Digest = `sha256:${plainHash.digest('hex')}`;
      const digest: Digest = type === 'uncompressed' ? diffID : `sha256:${blobHash.digest('hex')}`;
      isOpen = false;
      writing(path, () => closeSync(file));
      isKept = true;
      return { digest, size, diffID, uncompressedSize };
    },
    [Symbol.dispose]() {
      if (isOpen) closeSync(file);
      isOpen = false;
      if (!isKept) unlinkSync(path);
      isKept = true;
    },
  };
}

/** Gives large memory back at once: the garbage collector lets dozens of megabytes of it gather before it looks. */
function release({ buffer }: Buffer): void {
  // Small results may lie in memory that Node shares between buffers.
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= SMALLEST_RELEASED && !buffer.detached) buffer.transfer(0);
}

function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explainWriteError(error, path);
  }
}

async function compressGzip(
  content: Buffer,
  dictionary: Buffer | undefined,
  level: number | Promise<number>,
  last: boolean,
): Promise<Buffer[]> {
  const chosen = isIncompressible(content) ? constants.Z_NO_COMPRESSION : level;
  return collect(
    content,
    createDeflateRaw({
      level: typeof chosen === 'number' ? chosen : await chosen,
      // Room for all of the result, so that few trips to the thread do it.
      chunkSize: content.length + (content.length >> 8) + 1024,
      finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
      ...(dictionary === undefined ? {} : { dictionary }),
    }),
  );
}

function compressZstd(content: Buffer, level: number | undefined): Promise<Buffer[]> {
  return collect(
    content,
    createZstdCompress({
      chunkSize: content.length + (content.length >> 7) + 1024,
      pledgedSrcSize: content.length,
      params: level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level },
    }),
  );
}

/** The pieces of the result; unlike `deflateRaw` and `zstdCompress` without another copy that joins them. */
function collect(content: Buffer, compressor: Transform): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    compressor.on('data', (piece: Buffer) => pieces.push(piece));
    compressor.on('end', () => resolve(pieces));
    compressor.on('error', reject);
    compressor.end(content);
  });
}

/** Bits of information in a byte, of 8, from which deflate can gain nothing on a block of this size. */
const FULL = 7.998;
const FULL_SAMPLE = 7.95;
const SMALLEST_JUDGED = 1 << 18;

/**
 * Whether a block is as good as random: archives, images and encrypted data, on which deflate takes longest and gains
 * nothing. A block that repeats itself within deflate's window of 32 KB never counts as random: it has too few different
 * stretches to use all bytes this evenly.
 */
function isIncompressible(content: Buffer): boolean {
  return content.length >= SMALLEST_JUDGED && entropy(content, 61) >= FULL_SAMPLE && entropy(content, 1) >= FULL;
}

function entropy(content: Buffer, stride: number): number {
  const counts = new Uint32Array(256);
  let total = 0;
  for (let i = 0; i < content.length; i += stride) {
    const byte = content[i] ?? 0;
    counts[byte] = (counts[byte] ?? 0) + 1;
    total++;
  }
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= (count / total) * Math.log2(count / total);
  return bits;
}
