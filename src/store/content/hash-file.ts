import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { FileHash, TaskContext } from './task.ts';

const CHUNK = 1 << 20;

/** Task: the SHA-256 of a file. Throws the system's error when it cannot be read. */
export function hashFile({ path }: { readonly path: string }, context: TaskContext): FileHash {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  let size = 0;
  const file = openSync(path, 'r');
  try {
    for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer)) {
      context.throwIfAborted();
      hash.update(buffer.subarray(0, read));
      size += read;
    }
  } finally {
    closeSync(file);
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}
