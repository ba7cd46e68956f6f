import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { LayerCompression } from '../../wire/oci/media-types.ts';
import { errorCode, InvalidArchiveError } from './store-error.ts';

const CHUNK = 1 << 18;

/** The compression of a file, told by its first bytes: registries do not always name it rightly. */
function detect(path: string): LayerCompression {
  const start = Buffer.alloc(4);
  const file = openSync(path, 'r');
  try {
    readSync(file, start);
  } finally {
    closeSync(file);
  }
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  const word = start.readUInt32LE();
  // A zstd stream may begin with a frame to skip, whose number has any last four bits.
  return word === 0xfd2fb528 || (word & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : 'uncompressed';
}

/**
 * The bytes of a blob's file before compression, whatever it is (gzip also of several members, zstd of several frames).
 * Decompresses in libuv's threads. Throws `InvalidArchiveError` for damaged bytes, and errors of `node:fs`.
 */
export async function* decompressFile(path: string): AsyncGenerator<Uint8Array> {
  const type = detect(path);
  const input = createReadStream(path, { highWaterMark: CHUNK });
  if (type === 'uncompressed') {
    yield* input;
    return;
  }
  const output = type === 'gzip' ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK });
  pipeline(input, output, () => {});
  try {
    yield* output;
  } catch (error) {
    if (/^(Z_|ZSTD_|ERR_)/.test(errorCode(error) ?? '')) {
      throw new InvalidArchiveError(`damaged ${type} data: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
    throw error;
  } finally {
    input.destroy();
  }
}
