/** A layer store of plain directories. For tests. */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UnmountFlag, unmount } from '../../host/system/mount.ts';
import { mountOverlay } from '../../host/system/overlay.ts';
import { contentChecksums } from '../../store/snapshot/checksum.ts';
import { layersTree } from '../../store/snapshot/file-tree-layers.ts';
import type { ActiveSnapshot, SnapshotStore } from './op-context.ts';

export interface TestingStore extends SnapshotStore {
  /** The directory of a layer, which may not exist yet. */
  layerPath(layer: string): string;
  /** What was prepared and neither committed nor dropped, and views that are open. */
  open(): number;
}

export function testingStore(root: string): TestingStore {
  let count = 0;
  let open = 0;
  const layerPath = (layer: string) => join(root, layer);
  const directory = (kind: string) => {
    const path = join(root, `${kind}-${count++}`);
    mkdirSync(path);
    return path;
  };
  const lowerOf = (layers: readonly string[]) => layers.map(layerPath).reverse();

  async function prepare(layers: readonly string[]): Promise<ActiveSnapshot> {
    const [upper, work, target] = [directory('upper'), directory('work'), directory('target')];
    let mounted = false;
    let done = false;
    open++;
    const close = () => {
      if (mounted) unmount(target, UnmountFlag.detach);
      mounted = false;
      if (!done) open--;
      done = true;
    };
    return {
      upper,
      mount: async () => {
        if (!mounted) mountOverlay({ lower: lowerOf(layers), upper, work, target });
        mounted = true;
        return target;
      },
      commit: async () => {
        close();
        const id = `layer-${count++}`;
        renameSync(upper, layerPath(id));
        return id;
      },
      [Symbol.asyncDispose]: async () => {
        close();
        for (const path of [upper, work]) rmSync(path, { recursive: true, force: true });
      },
    };
  }

  return {
    layerPath,
    open: () => open,
    prepare,
    get: () => ({ isUnpacked: true }),
    unlazy: async () => {},
    async view(layers) {
      const path = directory('view');
      open++;
      mountOverlay({ lower: lowerOf(layers), target: path });
      return {
        path,
        [Symbol.asyncDispose]: async () => {
          open--;
          unmount(path, UnmountFlag.detach);
        },
      };
    },
    contents: async layers => contentChecksums(layersTree(layers.map(layerPath)), { view: 'scan' }),
    diff: async (lower, upper) => {
      if (lower.some((layer, index) => upper[index] !== layer)) throw new Error('only prefixes here');
      return upper.slice(lower.length);
    },
  };
}
