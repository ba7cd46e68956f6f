import { existsSync } from 'node:fs';
import { outcropRoot } from '../../host/config/paths.ts';
import { needsRootless, runRootless } from '../../host/runtime/rootless.ts';

/**
 * Runs work on the files of the store as who made them: an ordinary user's layers belong to many ids, so this program is
 * started again in a user namespace there.
 * @returns the exit code. @throws RootlessError
 */
export async function asStoreOwner(work: () => Promise<number>): Promise<number> {
  return needsRootless() && existsSync(outcropRoot()) ? runRootless() : work();
}
