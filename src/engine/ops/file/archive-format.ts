/** Compressed streams, told by their first bytes. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

export type ArchiveCompression = 'bzip2' | 'gzip' | 'xz' | 'zstd';

/** A program that an archive needs is not installed. */
export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError';
}

const MAGIC: readonly (readonly [ArchiveCompression, readonly number[]])[] = [
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];
const ZSTD_SKIPPABLE = 0x184d2a50;

/** How many bytes {@link detectCompression} looks at. */
export const MAGIC_LENGTH = 8;

/** The compression of a stream that begins with these bytes; undefined for none. */
export function detectCompression(start: Uint8Array): ArchiveCompression | undefined {
  for (const [compression, magic] of MAGIC) {
    if (start.length >= magic.length && magic.every((byte, index) => start[index] === byte)) return compression;
  }
  if (start.length < MAGIC_LENGTH) return undefined;
  const word = Buffer.from(start.buffer, start.byteOffset, 4).readUInt32LE();
  // A zstd stream may begin with frames to skip, numbered by the last four bits.
  return (word & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE ? 'zstd' : undefined;
}

/** The bytes of a stream, decompressed. Throws {@link MissingProgramError}, and the decompressor's error for bad bytes. */
export async function* decompress(
  input: Readable,
  compression: ArchiveCompression | undefined,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case undefined:
      yield* input;
      return;
    case 'gzip':
      yield* through(input, createGunzip());
      return;
    case 'zstd':
      yield* through(input, createZstdDecompress());
      return;
    default:
      yield* throughProgram(input, compression, signal);
  }
}

async function* through(input: Readable, transform: ReturnType<typeof createGunzip>): AsyncIterable<Uint8Array> {
  input.on('error', error => transform.destroy(error));
  yield* input.pipe(transform);
}

async function* throughProgram(input: Readable, program: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const child = spawn(program, ['-d', '-c', '-q'], { stdio: ['pipe', 'pipe', 'pipe'], signal });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => {});
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  child.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') reject(error);
    else
      reject(
        new MissingProgramError(`unpacking a ${program} archive needs the program ${program}, which is not installed`, {
          cause: error,
        }),
      );
  });
  child.on('close', code => {
    if (code === 0) resolve();
    else reject(new Error(`${program}: ${complaint.trim() || `exit code ${code}`}`));
  });
  // The program may end before it has read all, and says so by its exit code.
  child.stdin.on('error', () => {});
  input.on('error', error => child.stdout.destroy(error));
  input.pipe(child.stdin);
  try {
    yield* child.stdout;
    await ended;
  } finally {
    input.unpipe(child.stdin);
    if (child.exitCode === null) child.kill();
  }
}
