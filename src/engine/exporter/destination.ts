import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** A result that could not be written where it was asked for. */
class DestinationError extends Error {
  override readonly name = 'DestinationError';
}

/**
 * Writes bytes to a file, which appears only when it is whole, to a device or pipe, or to standard output (`-`).
 * @param advance called with the bytes written so far
 * @throws DestinationError
 */
export async function writeDestination(
  dest: string,
  bytes: AsyncIterable<Uint8Array>,
  advance: (written: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const counted = counting(bytes, advance);
  try {
    if (dest === '-') {
      await pipeline(counted, process.stdout, { signal, end: false });
      return;
    }
    const found = await stat(dest).catch(() => undefined);
    if (found && !found.isFile()) {
      await pipeline(counted, createWriteStream(dest), { signal });
      return;
    }
    const temporary = `${dest}.${process.pid}.part`;
    try {
      await pipeline(counted, createWriteStream(temporary), { signal });
      await rename(temporary, dest);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  } catch (cause) {
    if (signal.aborted) throw cause;
    const name = dest === '-' ? 'standard output' : dest;
    throw new DestinationError(`cannot write ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

async function* counting(
  bytes: AsyncIterable<Uint8Array>,
  advance: (written: number) => void,
): AsyncGenerator<Uint8Array> {
  let written = 0;
  for await (const chunk of bytes) {
    written += chunk.length;
    advance(written);
    yield chunk;
  }
}
