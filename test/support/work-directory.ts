import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** A new directory for the tests of a file, gone when they have ended. @param name - `cache-mounts` */
export function workDirectory(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `outcrop-${name}-`));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
