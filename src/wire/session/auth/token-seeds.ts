import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile } from '../../../host/system/lock.ts';

const SEED_BYTES = 16;

/** What makes a client's authority its own: random bytes for each host, kept. */
export interface TokenSeeds {
  get(host: string, signal: AbortSignal): Promise<Uint8Array>;
}

/**
 * The seeds in Docker's configuration directory, shared with BuildKit's clients (`.token_seed`). Where it cannot be written
 * they last as long as this process.
 */
export function tokenSeeds(directory: string): TokenSeeds {
  let known = new Map<string, Uint8Array>();
  let last: Promise<unknown> = Promise.resolve();

  async function find(host: string, signal: AbortSignal): Promise<Uint8Array> {
    const path = join(directory, '.token_seed');
    using _lock = await tolerant(async () => {
      await mkdir(directory, { recursive: true });
      return await lockFile(`${path}.lock`, 'exclusive', signal);
    });
    known = new Map([...known, ...readSeeds(await tolerant(() => readFile(path, 'utf8')))]);
    const found = known.get(host);
    if (found !== undefined) return found;
    const seed = randomBytes(SEED_BYTES);
    known.set(host, seed);
    const entries = [...known].sort(([a], [b]) => (a < b ? -1 : 1));
    const json = entries.map(([name, bytes]) => [name, { Seed: Buffer.from(bytes).toString('base64') }]);
    await tolerant(() => writeFile(path, JSON.stringify(Object.fromEntries(json), undefined, 2), { mode: 0o600 }));
    return seed;
  }

  return {
    get(host, signal) {
      const found = last.then(() => find(host, signal));
      last = found.catch(() => {});
      return found;
    },
  };
}

function readSeeds(text: string | undefined): [host: string, seed: Uint8Array][] {
  try {
    const seeds: Record<string, { readonly Seed?: unknown }> = JSON.parse(text ?? '{}');
    return Object.entries(seeds).flatMap(([host, { Seed }]) =>
      typeof Seed === 'string' ? [[host, Buffer.from(Seed, 'base64')]] : [],
    );
  } catch {
    // Another client was interrupted while it wrote the file.
    return [];
  }
}

const TOLERATED: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS']);

/** What an operation gives; undefined where the directory is not there or not ours to write. */
async function tolerant<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Error && 'code' in error && TOLERATED.has(error.code)) return undefined;
    throw error;
  }
}
