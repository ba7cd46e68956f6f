import type { SnapshotStore } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import { contentsOf } from '../../engine/ops/ref-contents.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';

/** The files of a result, on the disk: layers that are somewhere else are fetched. */
export async function resultFiles(ref: Ref, layers: SnapshotStore, signal: AbortSignal): Promise<FileTree> {
  if (ref.kind === 'snapshot') await layers.unlazy(ref.layers, signal);
  return (await contentsOf(ref, layers, signal)).tree;
}
