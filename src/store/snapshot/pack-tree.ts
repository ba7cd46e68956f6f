import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type BytePath, fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { type BlobCompression, createBlobWriter, type WrittenBlob } from '../content/blob-writer.ts';
import { roundUp, TAR_END } from '../content/tar-header.ts';
import type { TaskContext } from '../content/task.ts';
import type { FileNode, FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';
import { LayerChangedError } from './layer-tar.ts';
import { treeTarMembers } from './tree-tar.ts';

/** A directory to be made into a blob. */
export interface PackTreeInput {
  readonly directory: string;
  /** Where the blob goes; must not exist. */
  readonly output: string;
  readonly compression: BlobCompression;
}

const READ_SIZE = 1 << 18;
/** In a layer it would hide what is below. */
const WHITEOUT = /(^|\/)\.wh\./;

/**
 * Task: writes what is in a directory as a tar, compressed and hashed on the way: owners, hard links, extended attributes
 * and times to the nanosecond, which tools tell by what is up to date. Sockets are left out, and so are names that begin
 * with `.wh.`, which no layer can hold. Throws `LayerChangedError`, `TarHeaderError`, what the blob writer throws, and errors
 * of `node:fs`.
 */
export async function packTree(
  { directory, output, compression }: PackTreeInput,
  context: TaskContext,
): Promise<WrittenBlob> {
  using writer = createBlobWriter(output, compression);
  for (const piece of pieces(directoryTree(directory))) {
    context.throwIfAborted();
    const wait = writer.write(piece);
    if (wait !== undefined) await wait;
  }
  return await writer.finish();
}

function* pieces(tree: FileTree): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
  const members = treeTarMembers(tree, { nanoseconds: true, leavesOut: path => WHITEOUT.test(path) });
  for (const { path, header, content } of members) {
    yield header;
    if (content === undefined) continue;
    yield* contentOf(tree, content, path, buffer);
    yield new Uint8Array(roundUp(content.size) - content.size);
  }
  yield TAR_END;
}

function* contentOf(tree: FileTree, node: FileNode, path: BytePath, buffer: Buffer): Generator<Uint8Array> {
  const file = openSync(systemPath(tree.location(node)), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = node.size; left > 0; ) {
      const read = readSync(file, buffer, 0, Math.min(READ_SIZE, left), null);
      if (read === 0) throw new LayerChangedError(`${fromBytePath(path)} became shorter while it was read`);
      left -= read;
      yield buffer.subarray(0, read);
    }
  } finally {
    closeSync(file);
  }
}
