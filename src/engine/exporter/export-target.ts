import type { ContentStore } from '../../store/content/content-store.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { writeDestination } from './destination.ts';
import type { WrittenImage } from './image-writer.ts';
import { exportTree } from './local.ts';
import { type ArchiveOptions, writeLayout } from './oci-archive.ts';

/** A tree that goes into a directory of the target; into the target itself when the name is empty. */
interface TargetTree {
  readonly directory: string;
  readonly tree: FileTree;
}

/** How trees are written. */
interface TreesOptions {
  /** Seconds; every time is set to it. */
  readonly epoch?: number;
  /** Remove what the trees do not have. They are all in one call then. */
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
  /** Takes the files of results. */
  trees(trees: readonly TargetTree[], options: TreesOptions, signal: AbortSignal): Promise<void>;
  /** Takes an image as an OCI layout. */
  layout(image: WrittenImage, content: ContentStore, options: ArchiveOptions, signal: AbortSignal): Promise<void>;
}

/** A path of this machine, or standard output (`-`) for archives. */
export function pathTarget(dest: string): ExportTarget {
  return {
    archive: (bytes, _answers, advance, signal) => writeDestination(dest, bytes, advance, signal),
    async trees(trees, { epoch, mirror, advance }, signal) {
      let before = 0;
      for (const { directory, tree } of trees) {
        let written = 0;
        const options = {
          ...(epoch === undefined ? {} : { epoch }),
          mirror,
          advance: (bytes: number) => {
            written = bytes;
            advance(before + bytes);
          },
        };
        exportTree(tree, directory === '' ? dest : `${dest}/${directory}`, options, signal);
        before += written;
      }
    },
    layout: (image, content, options, signal) => writeLayout(image, content, dest, options, signal),
  };
}
