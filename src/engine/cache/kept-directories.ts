import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { workerPool } from '../../store/content/pool.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import { removeCacheMount } from '../ops/exec/cache-mount.ts';
import { removeGitRepository } from '../source/git-repository.ts';
import type { UsageRecord } from './usage.ts';

/** A directory outside the layer store that steps or sources keep from build to build. */
export interface KeptDirectory {
  readonly record: UsageRecord;
  /** What is removed with it. */
  readonly paths: readonly string[];
  /** Removes it while others work, unless one of them uses it; whether it is gone. */
  readonly removeUnused: (signal: AbortSignal) => Promise<boolean>;
}

/** A directory of a cache mount. */
export interface KeptCacheMount extends KeptDirectory {
  /** What steps call the cache, followed by what it was filled with, if it was. */
  readonly cache: string;
  /** Holds `data` and `lock`. */
  readonly directory: string;
}

/**
 * The directories of cache mounts: `<hash>/<n>/data` below the root, what it is in `<hash>/<n>/about`, the cache's id in
 * `<hash>/id`.
 */
export async function cacheMountDirectories(root: string, signal: AbortSignal): Promise<KeptCacheMount[]> {
  const found: KeptCacheMount[] = [];
  for (const hash of namesIn(root)) {
    const place = join(root, hash);
    const numbers = namesIn(place).filter(name => /^\d+$/.test(name));
    const cache = readText(join(place, 'id')) ?? hash;
    for (const number of numbers) {
      const instance = join(place, number);
      const description = readText(join(instance, 'about')) ?? `cache mount ${cache}`;
      const about = { id: `cache-${hash.slice(0, 16)}-${number}`, type: 'exec.cachemount', description } as const;
      // The last directory of a cache takes the cache's own place along.
      const paths = numbers.length === 1 ? [place] : [instance];
      const used = [join(instance, 'data'), join(instance, 'lock')];
      const record = await describe(about, instance, used, signal);
      found.push({
        record,
        paths,
        cache,
        directory: instance,
        removeUnused: removing => removeCacheMount(instance, removing),
      });
    }
  }
  return found;
}

/** The bare repositories of git sources: `<hash>` below the root, its lock beside it. */
export async function gitDirectories(root: string, signal: AbortSignal): Promise<KeptDirectory[]> {
  const found: KeptDirectory[] = [];
  for (const hash of namesIn(root).filter(name => /^[0-9a-f]{64}$/.test(name))) {
    const repository = join(root, hash);
    const about = {
      id: `git-${hash.slice(0, 16)}`,
      type: 'source.git.checkout',
      description: 'shared git repository',
    } as const;
    const used = [join(repository, 'FETCH_HEAD'), repository];
    found.push({
      record: await describe(about, repository, used, signal),
      paths: [repository, `${repository}.lock`],
      removeUnused: async () => removeGitRepository(repository),
    });
  }
  return found;
}

async function describe(
  about: Pick<UsageRecord, 'id' | 'type' | 'description'>,
  directory: string,
  used: readonly string[],
  signal: AbortSignal,
): Promise<UsageRecord> {
  const { birthtimeMs, ctimeMs } = statSync(directory);
  const createdAt = birthtimeMs > 0 ? birthtimeMs : ctimeMs;
  const times = used.map(path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return {
    ...about,
    size: await workerPool().run('measureLayer', { path: toBytePath(directory) }, signal),
    createdAt,
    lastUsedAt: Math.max(createdAt, ...times),
    mutable: true,
    shared: false,
    parents: [],
  };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
