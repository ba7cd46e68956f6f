import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Puts a file that is only remembered work in place at once; the last of several processes wins. Does without it on errors. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.${randomUUID()}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, bytes);
    renameSync(temporary, path);
  } catch {
    // A root that is full or read-only is for those to report who must write to it.
    rmSync(temporary, { force: true });
  }
}
