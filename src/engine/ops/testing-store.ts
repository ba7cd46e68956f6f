/** A layer store in a directory that goes away. For tests. */
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openContentStore } from '../../store/content/content-store.ts';
import { openDatabase } from '../../store/database.ts';
import { type LayerStore, openLayerStore } from '../../store/snapshot/layer-store.ts';
import { type Ref, type SnapshotRef, snapshotRef } from './ref.ts';

export interface TestingStore extends AsyncDisposable {
  /** A directory for all that belongs to the test. */
  readonly root: string;
  readonly layers: LayerStore;
  /** A layer on nothing, with the files that `fill` makes in its directory. */
  make(fill: (directory: string) => void): Promise<SnapshotRef>;
  /** The directory of the topmost layer of a result. */
  top(ref: Ref | undefined): string;
  /** What is still mounted. */
  mounts(): string[];
}

export async function testingStore(): Promise<TestingStore> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(mkdtempDisposableSync(join(tmpdir(), 'outcrop-ops-')));
  const root = place.path;
  const database = stack.use(openDatabase(root));
  const content = openContentStore(root);
  const layers = stack.use(openLayerStore({ root, content, database }));
  const owned = stack.move();
  const signal = new AbortController().signal;
  return {
    root,
    layers,
    async make(fill) {
      await using active = await layers.prepare([], signal);
      fill(active.upper);
      return snapshotRef([await active.commit(signal)]);
    },
    top(ref) {
      const layer = ref?.kind === 'snapshot' ? ref.layers.at(-1) : undefined;
      if (layer === undefined) throw new TypeError('a result without layers');
      return layers.path(layer);
    },
    mounts: () =>
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter(line => line.includes(join(root, 'layers'))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
