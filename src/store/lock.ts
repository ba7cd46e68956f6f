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
    // A daemon that prunes beside its own builds has the turn, but for moments not the lock.
    using turn = tryLockFile(turnPath(root), 'exclusive');
    using alone = turn && tryLockFile(path, 'exclusive');
    if (alone !== undefined) recover();
  }
  return await lockFile(path, 'shared', signal);
}

/**
 * Takes the store's lock alone, as pruning does; waits for running builds to end. Throws `StoreUnwritableError`, and the
 * signal's reason.
 */
export async function ownStore(root: string, signal: AbortSignal): Promise<Disposable> {
  const path = lockPath(root);
  using stack = new DisposableStack();
  stack.use(await lockFile(turnPath(root), 'exclusive', signal));
  stack.use(await lockFile(path, 'exclusive', signal));
  return stack.move();
}

/**
 * Does `work` while no other process uses the store, for one whose own builds go on; waits for those of others. Nobody else
 * prunes or recovers the store from the first to the last.
 *
 * @param held This process's share of the store, which is given up.
 * @returns What `work` gives, and the share that takes the place of `held`; undefined, with `held` as it was, when another
 *   process waits for its turn to prune, which it gets only when our builds have ended.
 * @throws what `work` throws, and the signal's reason: in `outcome`, so that the new share is had all the same.
 */
export async function ownStoreBesideBuilds<T>(
  root: string,
  held: FileLock,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<{ readonly share: FileLock; readonly outcome: PromiseSettledResult<T> } | undefined> {
  using turn = tryLockFile(turnPath(root), 'shared');
  if (turn === undefined) return undefined;
  held[Symbol.dispose]();
  const alone = async (): Promise<T> => {
    using _lock = await lockFile(lockPath(root), 'exclusive', signal);
    return await work();
  };
  const [outcome] = await Promise.allSettled([alone()]);
  return { share: await lockFile(lockPath(root), 'shared'), outcome };
}

/** Whose turn to prune it is: held alone by those who prune alone, together with others by those who build meanwhile. */
function turnPath(root: string): string {
  return `${lockPath(root)}.turn`;
}

function lockPath(root: string): string {
  try {
    mkdirSync(root, { recursive: true });
  } catch (error) {
    throw explainWriteError(error, root);
  }
  return join(root, 'lock');
}
