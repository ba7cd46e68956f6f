import { readFileSync } from 'node:fs';

/** Set in the bundle. */
declare const PACKAGE_VERSION: string | undefined;

/** The version of this package: what the bundle says, or from the nearest package.json above this file. */
export function version(): string {
  if (typeof PACKAGE_VERSION === 'string') return PACKAGE_VERSION;
  for (let dir = new URL('.', import.meta.url); dir.pathname !== '/'; dir = new URL('..', dir)) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', dir), 'utf8'));
      if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
    } catch {}
  }
  return 'unknown';
}
