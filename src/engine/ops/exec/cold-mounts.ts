/** Cache mounts that are empty at the start of a build and gone after it. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLock, tryLockFile } from '../../../host/system/lock.ts';
import { type CacheMountStore, openCacheMounts } from './cache-mount.ts';

const LOCK = '.lock';

/** A store of cache mounts that nobody else uses and that goes when it is disposed. */
export interface ColdMounts extends CacheMountStore, Disposable {
  /** The directory that they are in. */
  readonly root: string;
}

/**
 * Opens a store of cache mounts of its own below a directory. Disposing it removes it; what killed processes left goes
 * when the next one is opened.
 */
export function openColdMounts(parent: string): ColdMounts {
  mkdirSync(parent, { recursive: true, mode: 0o711 });
  for (const name of readdirSync(parent)) {
    if (!name.endsWith(LOCK)) continue;
    using left = tryLockFile(join(parent, name), 'exclusive');
    if (left !== undefined) remove(parent, name.slice(0, -LOCK.length));
  }
  let lock: FileLock | undefined;
  let name = '';
  // Another process that tidies up can have the lock for a moment.
  while (lock === undefined) {
    name = randomUUID();
    lock = tryLockFile(join(parent, `${name}${LOCK}`), 'exclusive');
  }
  const held = lock;
  const root = join(parent, name);
  return {
    root,
    ...openCacheMounts(root),
    [Symbol.dispose]() {
      remove(parent, name);
      held[Symbol.dispose]();
    },
  };
}

function remove(parent: string, name: string): void {
  rmSync(join(parent, name), { recursive: true, force: true });
  rmSync(join(parent, `${name}${LOCK}`), { force: true });
}
