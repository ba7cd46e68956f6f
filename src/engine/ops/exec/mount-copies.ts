/** Cache mounts of a build that begin as copies, so that the originals stay as they are. */
import { chmodSync, lchownSync } from 'node:fs';
import { contentChecksums } from '../../../store/snapshot/checksum.ts';
import { directoryTree } from '../../../store/snapshot/file-tree-directory.ts';
import { copyDirectory } from '../file/copy-tree.ts';
import { cacheNameOf, fillCacheMount, holdCacheMount } from './cache-mount.ts';
import { type ColdMounts, openColdMounts } from './cold-mounts.ts';

/**
 * Opens a store of cache mounts of its own below a directory. Each is a copy of the first of the `originals` that has files
 * in it, made when a step asks for it; empty when none has.
 *
 * @param originals - directories of cache mounts, as `openCacheMounts` takes them
 */
export function openMountCopies(parent: string, originals: readonly string[]): ColdMounts {
  const own = openColdMounts(parent);
  return {
    ...own,
    async acquire(request, signal) {
      const cache = cacheNameOf(request);
      for (const root of originals) {
        using original = await holdCacheMount(root, cache, signal);
        if (original === undefined) continue;
        const { path, description } = original;
        const fill = (directory: string) => copyOnto(path, directory, signal);
        await fillCacheMount(own.root, cache, { description, fill }, signal);
        break;
      }
      return own.acquire(request, signal);
    },
  };
}

/** Copies a directory, with its owner and mode, onto one that is empty. */
async function copyOnto(from: string, to: string, signal: AbortSignal): Promise<void> {
  const tree = directoryTree(from);
  // Nothing is compared with: no step can write to it meanwhile.
  const { records } = contentChecksums(tree, { view: 'scan' });
  const source = { tree, records: { ...records, known: () => undefined } };
  await copyDirectory(source, tree.root, to, [], signal);
  lchownSync(to, tree.root.uid, tree.root.gid);
  chmodSync(to, tree.root.mode);
}
