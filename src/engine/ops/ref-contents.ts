/** The files behind results. */
import { type ContentChecksums, contentChecksums } from '../../store/snapshot/checksum.ts';
import type { CopySource } from '../../store/snapshot/file-tree-copy.ts';
import { frozenTree, nodeOf } from '../../store/snapshot/file-tree-node.ts';
import { copyDirectory } from './file/copy-tree.ts';
import type { SnapshotStore } from './op-context.ts';
import { type LocalRef, type Ref, type SnapshotRef, snapshotRef } from './ref.ts';

/** What a client's directory loses on its way into an image: setting the owner takes capabilities away. */
const LOST_IN_TRANSFER: readonly string[] = ['security.capability'];

/** The files of a result, with checksums. Nothing is mounted. */
export async function contentsOf(ref: Ref, layers: SnapshotStore, signal: AbortSignal): Promise<ContentChecksums> {
  if (ref.kind === 'local') return ref.contents;
  return ref.layers.length === 0 ? emptyContents() : layers.contents(ref.layers, signal);
}

/** The files of a result to copy from. Those of a client's directory are compared with the digests that the key is made of. */
export async function copySource(ref: Ref, layers: SnapshotStore, signal: AbortSignal): Promise<CopySource> {
  const { tree, records } = await contentsOf(ref, layers, signal);
  // Layers never change, so there is nothing to compare, and their bytes need not pass through here.
  return ref.kind === 'local' ? { tree, records } : { tree, records: { ...records, known: () => undefined } };
}

/** The extended attributes that are not copied out of a result. */
export function lostXattrs(ref: Ref): readonly string[] {
  return ref.kind === 'local' ? LOST_IN_TRANSFER : [];
}

const snapshots = new WeakMap<LocalRef, Promise<SnapshotRef>>();

/**
 * The result as layers. A directory of the client is copied into one, once per result. Throws what copying throws when the
 * directory changes meanwhile.
 */
export async function materialize(ref: Ref, layers: SnapshotStore, signal: AbortSignal): Promise<SnapshotRef> {
  if (ref.kind === 'snapshot') return ref;
  let made = snapshots.get(ref);
  if (!made) {
    made = copyToLayer(ref, layers, signal);
    snapshots.set(ref, made);
    made.catch(() => snapshots.delete(ref));
  }
  return made;
}

async function copyToLayer(ref: LocalRef, layers: SnapshotStore, signal: AbortSignal): Promise<SnapshotRef> {
  const { contents } = ref;
  await using active = await layers.prepare([], signal);
  await copyDirectory(contents, contents.tree.root, active.upper, LOST_IN_TRANSFER, signal);
  return snapshotRef([await active.commit(signal)]);
}

function emptyContents(): ContentChecksums {
  const root = nodeOf('', undefined, EMPTY_DIRECTORY, 0, undefined);
  const tree = frozenTree({
    root,
    openedAt: Date.now(),
    // There is no directory behind the tree, so there is nothing to read attributes from: the empty prefix hides all.
    hiddenXattrs: [''],
    location: () => '/',
    list: () => [],
    find: () => undefined,
  });
  return contentChecksums(tree, { view: 'scan' });
}

const EMPTY_DIRECTORY = {
  mode: 0o040755,
  uid: 0,
  gid: 0,
  size: 0,
  nlink: 2,
  inoHigh: 0,
  inoLow: 0,
  device: 0,
  major: 0,
  minor: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  ctimeSeconds: 0,
  ctimeNanoseconds: 0,
};
