import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SourceLayers } from '../../src/engine/source/layer-port.ts';
import type { LazyLayer } from '../../src/store/snapshot/unpack-layers.ts';

/** Layers as plain directories, for tests of what makes layers and does not care what becomes of them. */
export interface DirectoryLayers extends SourceLayers {
  path(layer: string): string;
  remove(layer: string): void;
  readonly offered: Map<string, LazyLayer>;
  readonly lazy: Map<string, LazyLayer>;
}

/** Layers below a directory. */
export function directoryLayers(root: string): DirectoryLayers {
  const made = new Set<string>();
  const offered = new Map<string, LazyLayer>();
  const lazy = new Map<string, LazyLayer>();
  const path = (layer: string) => join(root, layer);
  return {
    path,
    offered,
    lazy,
    remove(layer) {
      made.delete(layer);
      rmSync(path(layer), { recursive: true });
    },
    has: layer => made.has(layer) || lazy.has(layer),
    async prepare() {
      mkdirSync(root, { recursive: true });
      const upper = mkdtempSync(join(root, 'new-'));
      return {
        upper,
        mount: async () => upper,
        async commit() {
          const layer = `layer-${made.size + 1}`;
          renameSync(upper, path(layer));
          made.add(layer);
          return layer;
        },
        async [Symbol.asyncDispose]() {
          rmSync(upper, { recursive: true, force: true });
        },
      };
    },
    offer: layer => void offered.set(layer.descriptor.digest, layer),
    addLazy(layer) {
      lazy.set(layer.diffId, layer);
      return layer.diffId;
    },
  };
}
