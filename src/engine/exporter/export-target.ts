import type { ContentStore } from '../../store/content/content-store.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { writeDestination } from './destination.ts';
import type { WrittenImage } from './image-writer.ts';
import { exportTree } from './local.ts';
import { type ArchiveOptions, writeLayout } from './oci-archive.ts';

/** How a tree is written. */
interface TreeOptions {
  /** Seconds; every time is set to it. */
  readonly epoch?: number;
  /** Remove what the tree does not have. */
  readonly mirror: boolean;
  /** Called with the number of bytes written so far. */
  readonly advance: (bytes: number) => void;
}

/** Where results go that are no images of the engine: to this machine, or to the client of a daemon. */
export interface ExportTarget {
  /** Takes an archive. @param answers what clients get to know of it: `containerimage.digest`, … */
  archive(
    bytes: AsyncIterable<Uint8Array>,
    answers: Readonly<Record<string, string>>,
    advance: (written: number) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Takes files of results. */
  tree(tree: FileTree, options: TreeOptions, signal: AbortSignal): Promise<void>;
  /** Takes an image as an OCI layout. */
  layout(image: WrittenImage, content: ContentStore, options: ArchiveOptions, signal: AbortSignal): Promise<void>;
}

/** A path of this machine, or standard output (`-`) for archives. */
export function pathTarget(dest: string): ExportTarget {
  return {
    archive: (bytes, _answers, advance, signal) => writeDestination(dest, bytes, advance, signal),
    async tree(tree, options, signal) {
      exportTree(tree, dest, options, signal);
    },
    layout: (image, content, options, signal) => writeLayout(image, content, dest, options, signal),
  };
}
