import { readFileSync } from 'node:fs';

/** The version of this package, from the nearest package.json above this file. */
export function version(): string {
  for (let dir = new URL('.', import.meta.url); dir.pathname !== '/'; dir = new URL('..', dir)) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', dir), 'utf8'));
      if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
    } catch {}
  }
  return 'unknown';
}
