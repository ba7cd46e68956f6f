import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLock, lockFile, tryLockFile } from '../host/system/lock.ts';
import { explainWriteError } from './content/store-error.ts';

/**
 * Takes the store's lock as builds do: together with other builds, but not with pruning. Throws `StoreUnwritableError`,
 * and the signal's reason.
 *
 * @param recover Called first if no other process uses the store, so that what crashed ones left can be removed.
 */
export async function shareStore(root: string, recover: () => void, signal: AbortSignal): Promise<FileLock> {
  const path = lockPath(root);
  {
    using alone = tryLockFile(path, 'exclusive');
    if (alone !== undefined) recover();
  }
  return await lockFile(path, 'shared', signal);
}

/**
 * Takes the store's lock alone, as pruning does; waits for running builds to end. Throws `StoreUnwritableError`, and the
 * signal's reason.
 */
export async function ownStore(root: string, signal: AbortSignal): Promise<FileLock> {
  return await lockFile(lockPath(root), 'exclusive', signal);
}

function lockPath(root: string): string {
  try {
    mkdirSync(root, { recursive: true });
  } catch (error) {
    throw explainWriteError(error, root);
  }
  return join(root, 'lock');
}
