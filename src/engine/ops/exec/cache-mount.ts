/** Directories that steps share from build to build: `--mount=type=cache`. */
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type FileLock, lockFile, tryLockFile } from '../../../host/system/lock.ts';
import { digestOf, hexOf } from '../../../wire/oci/digest.ts';

/**
 * Who may use a cache at the same time. `shared`: everybody, all seeing one directory. `private`: one step; another one gets
 * a directory of its own. `locked`: one step; others wait.
 */
export type CacheSharing = 'shared' | 'private' | 'locked';

/** What a cache holds when it is made. */
export interface CacheSeed {
  /** Caches of one id with different seeds are different caches. */
  readonly identity: string;
  /** Fills an empty directory. */
  readonly fill: (directory: string, signal: AbortSignal) => Promise<void>;
}

/** A cache that a step asks for. */
export interface CacheRequest {
  readonly id: string;
  readonly sharing: CacheSharing;
  readonly seed?: CacheSeed | undefined;
  /** What the cache is, for those who look at what takes space. */
  readonly description?: string;
}

/** A cache in use; disposing it lets others have it. What is in it stays. */
export interface CacheMount extends Disposable {
  /** A directory. */
  readonly path: string;
}

/** A cache that no step uses as long as this is held. */
interface HeldCacheMount extends CacheMount {
  readonly description: string;
}

export interface CacheMountStore {
  /** A directory for a cache, made if there is none; other processes on the same store keep to the same rules. */
  acquire(request: CacheRequest, signal: AbortSignal): Promise<CacheMount>;
  /**
   * Gives up what the caches of an id hold: steps that come later find them empty. Those that run keep what they see.
   *
   * @param isSeeded - whether those are meant that start with the files of an input, or the one that starts empty
   */
  giveUp(id: string, isSeeded: boolean, signal: AbortSignal): Promise<void>;
}

/** How often a locked cache is asked for again, in milliseconds. */
const PATIENCE = 100;
const INSTANCE = /^[0-9]+$/;
/** In a directory that its cache has given up, but that somebody still uses. */
const GIVEN_UP = 'given-up';
const SEED = /^:sha256:[0-9a-f]{64}$/;

/**
 * Opens the caches below a directory. A cache is a directory named by the hash of its id, with one numbered directory for each
 * that is or was used at the same time: its files in `<hash>/<n>/data`, its lock `<hash>/<n>/lock`, which was touched when it
 * was last used, and what it is in `<hash>/<n>/about`; the id is in `<hash>/id`. Numbers are handed out under the lock `<hash>/lock`.
 */
export function openCacheMounts(root: string): CacheMountStore {
  return {
    async acquire(request, signal) {
      const place = placeOf(root, cacheNameOf(request));
      for (;;) {
        const mount = await attempt(place, request, signal);
        if (mount) return mount;
        await delay(PATIENCE, undefined, { signal });
      }
    },
    async giveUp(id, isSeeded, signal) {
      for (const cache of cachesNamed(root, id, isSeeded)) {
        const place = join(root, hexOf(digestOf(cache)));
        if (!existsSync(place)) continue;
        using _choosing = await lockFile(join(place, 'lock'), 'exclusive', signal);
        for (const number of instances(place)) {
          writeFileSync(join(place, String(number), GIVEN_UP), '');
          removeIfFree(place, number);
        }
      }
    },
  };
}

/**
 * Takes a directory of a cache away from a store, as listings name it: `<root>/<hash>/<n>`. Steps that come later find none.
 * @returns false when a step uses it; then it stays.
 */
export async function removeCacheMount(directory: string, signal: AbortSignal): Promise<boolean> {
  const place = dirname(directory);
  using _choosing = await lockFile(join(place, 'lock'), 'exclusive', signal);
  return removeIfFree(place, Number(basename(directory)));
}

/**
 * Makes a directory of a cache that has no files yet, and fills it; it appears whole or not at all. Empty directories that
 * nobody uses give way.
 *
 * @param cache - as listings name it
 * @returns the directory; undefined when the cache has files or is in use, and nothing was changed.
 */
export async function fillCacheMount(
  root: string,
  cache: string,
  { description, fill }: { readonly description: string } & Pick<CacheSeed, 'fill'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const place = placeOf(root, cache);
  using _choosing = await lockFile(join(place, 'lock'), 'exclusive', signal);
  for (const number of instances(place)) {
    using free = tryLockFile(lockPath(place, number), 'exclusive');
    if (free === undefined || readdirSync(join(place, String(number), 'data')).length > 0) return undefined;
    rmSync(join(place, String(number)), { recursive: true });
  }
  await makeInstance(place, 0, { key: cache, description, fill }, signal);
  return join(place, '0');
}

/**
 * What listings call the caches that steps name by an id. Those that start with the files of an input have names of their
 * own on each machine.
 *
 * @param isSeeded - whether those are meant
 */
export function cachesNamed(root: string, id: string, isSeeded: boolean): string[] {
  if (!isSeeded) return [id];
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap(hash => {
    const path = join(root, hash, 'id');
    const name = existsSync(path) ? readFileSync(path, 'utf8') : '';
    return name.startsWith(`${id}:`) && SEED.test(name.slice(id.length)) ? [name] : [];
  });
}

/**
 * Takes a directory of a cache that has files in it, so that no step writes to it meanwhile; one that is in use is waited for.
 *
 * @param cache - as listings name it
 * @returns undefined when the cache has no directory, or only empty ones.
 */
export async function holdCacheMount(
  root: string,
  cache: string,
  signal: AbortSignal,
): Promise<HeldCacheMount | undefined> {
  const place = join(root, hexOf(digestOf(cache)));
  for (;;) {
    if (!existsSync(place)) return undefined;
    let isBusy = false;
    {
      using _choosing = await lockFile(join(place, 'lock'), 'exclusive', signal);
      for (const number of instances(place).filter(one => !isGivenUp(place, one))) {
        const path = join(place, String(number), 'data');
        if (readdirSync(path).length === 0) continue;
        const lock = tryLockFile(lockPath(place, number), 'exclusive');
        if (lock !== undefined) {
          const about = join(place, String(number), 'about');
          const description = existsSync(about) ? readFileSync(about, 'utf8') : `cached mount ${cache}`;
          return { path, description, [Symbol.dispose]: () => lock[Symbol.dispose]() };
        }
        isBusy = true;
      }
    }
    if (!isBusy) return undefined;
    await delay(PATIENCE, undefined, { signal });
  }
}

function placeOf(root: string, key: string): string {
  const place = join(root, hexOf(digestOf(key)));
  mkdirSync(place, { recursive: true, mode: 0o711 });
  return place;
}

/** What listings call the cache that a request means. */
export function cacheNameOf({ id, seed }: Pick<CacheRequest, 'id' | 'seed'>): string {
  return seed ? `${id}:${seed.identity}` : id;
}

/** Finds or makes a directory; undefined when one is there that has to be waited for. */
async function attempt(place: string, request: CacheRequest, signal: AbortSignal): Promise<CacheMount | undefined> {
  const { sharing } = request;
  using _choosing = await lockFile(join(place, 'lock'), 'exclusive', signal);
  // Left by a process that was killed: directories are made under this lock.
  for (const name of readdirSync(place))
    if (/^(new|old)-/.test(name)) rmSync(join(place, name), { recursive: true, force: true });
  const numbers: number[] = [];
  let next = 0;
  for (const number of instances(place)) {
    const isGone = isGivenUp(place, number);
    if (isGone && removeIfFree(place, number)) continue;
    if (!isGone) numbers.push(number);
    next = number + 1;
  }
  const lock = sharing === 'shared' ? lockShared(place, numbers) : lockFree(place, numbers);
  if (lock) return mountOf(lock);
  if (sharing === 'locked' && numbers.length > 0) return undefined;
  const { description, seed } = request;
  await makeInstance(place, next, { key: cacheNameOf(request), description, fill: seed?.fill }, signal);
  const made = tryLockFile(lockPath(place, next), sharing === 'shared' ? 'shared' : 'exclusive');
  return made && mountOf(made);
}

function isGivenUp(place: string, number: number): boolean {
  return existsSync(join(place, String(number), GIVEN_UP));
}

/** Removes a directory unless somebody uses it. Only for who holds the cache's own lock. */
function removeIfFree(place: string, number: number): boolean {
  using free = tryLockFile(lockPath(place, number), 'exclusive');
  if (free === undefined) return false;
  const removed = join(place, `old-${randomUUID()}`);
  renameSync(join(place, String(number)), removed);
  rmSync(removed, { recursive: true, force: true });
  return true;
}

function mountOf(lock: FileLock): CacheMount {
  const touch = () => {
    const now = new Date();
    utimesSync(lock.path, now, now);
  };
  touch();
  return {
    path: join(lock.path, '..', 'data'),
    [Symbol.dispose]() {
      touch();
      lock[Symbol.dispose]();
    },
  };
}

function lockFree(place: string, numbers: readonly number[]): FileLock | undefined {
  for (const number of numbers) {
    const lock = tryLockFile(lockPath(place, number), 'exclusive');
    if (lock) return lock;
  }
  return undefined;
}

/** One that others share already comes before a free one, so that all who share see the same. */
function lockShared(place: string, numbers: readonly number[]): FileLock | undefined {
  let free: number | undefined;
  for (const number of numbers) {
    const path = lockPath(place, number);
    const exclusive = tryLockFile(path, 'exclusive');
    if (exclusive) {
      free ??= number;
      exclusive[Symbol.dispose]();
      continue;
    }
    const shared = tryLockFile(path, 'shared');
    if (shared) return shared;
  }
  return free === undefined ? undefined : tryLockFile(lockPath(place, free), 'shared');
}

/** What a directory is made with. */
interface NewInstance {
  readonly key: string;
  readonly description: string | undefined;
  readonly fill: CacheSeed['fill'] | undefined;
}

/** The directory appears whole or not at all. */
async function makeInstance(
  place: string,
  number: number,
  { key, description, fill }: NewInstance,
  signal: AbortSignal,
): Promise<void> {
  const temporary = join(place, `new-${randomUUID()}`);
  try {
    mkdirSync(join(temporary, 'data'), { recursive: true });
    await fill?.(join(temporary, 'data'), signal);
    writeFileSync(join(place, 'id'), key);
    if (description !== undefined) writeFileSync(join(temporary, 'about'), description);
    writeFileSync(join(temporary, 'lock'), '');
    renameSync(temporary, join(place, String(number)));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function lockPath(place: string, number: number): string {
  return join(place, String(number), 'lock');
}

function instances(place: string): number[] {
  return readdirSync(place)
    .filter(name => INSTANCE.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}
