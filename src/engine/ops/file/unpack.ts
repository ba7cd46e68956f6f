/** Unpacks archives for ADD. */
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { statFile } from '../../../host/system/stat.ts';
import { createTarReader } from '../../../store/content/tar-reader.ts';
import { ChangedUnderBuildError } from '../../../store/snapshot/checksum-error.ts';
import { type FileNode, shownPath } from '../../../store/snapshot/file-tree.ts';
import type { CopySource } from '../../../store/snapshot/file-tree-copy.ts';
import { type BytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { decompress, detectCompression, MAGIC_LENGTH, MissingProgramError } from './archive-format.ts';
import { extractMembers } from './extract.ts';
import { makeDirectories } from './make-directories.ts';
import type { Owner } from './owner.ts';
import { rootPath } from './root-path.ts';

/** An archive that may be one, and where it goes. */
export interface UnpackRequest {
  readonly source: CopySource;
  /** A regular file. */
  readonly node: FileNode;
  readonly root: BytePath;
  /** A path in the root; it becomes a directory. */
  readonly destination: string;
  /** Replaces the owners of all members. */
  readonly owner: Owner | undefined;
  /** Nanoseconds since the epoch, of directories that are made for the destination. */
  readonly timestamp: bigint | undefined;
}

/**
 * Unpacks a file if, decompressed, a tar header can be read at its start; its name does not matter. Everything happens inside
 * the destination as if it were the root directory: links and `..` do not lead out.
 *
 * Throws `SystemError` with paths of the archive, `InvalidArchiveError` for an archive that breaks off later,
 * `ChangedUnderBuildError` and `MissingProgramError`.
 *
 * @returns Whether it was an archive; if not, nothing was done.
 */
export async function unpackArchive(request: UnpackRequest, signal: AbortSignal): Promise<boolean> {
  const { source, node, root, destination, owner, timestamp } = request;
  const path = systemPath(source.tree.location(node));
  const start = startOf(path);
  const compression = detectCompression(start);
  const place = rootPath(root, toBytePath(destination));
  let isArchive = false;
  const members = extractMembers(place, owner);
  const reader = createTarReader({
    ...members,
    entry(header) {
      if (!isArchive) {
        isArchive = true;
        makeDirectories(place, { mode: 0o755, owner, timestamp });
      }
      members.entry(header);
    },
  });
  const input = createReadStream(path, { highWaterMark: 1 << 20, signal });
  try {
    for await (const chunk of decompress(input, compression, signal)) reader.push(chunk);
    reader.finish();
    members.finish();
    checkUnchanged(node, path);
  } catch (error) {
    signal.throwIfAborted();
    if (isArchive || error instanceof MissingProgramError) throw error;
  } finally {
    members.close();
    input.destroy();
  }
  return isArchive;
}

/** What was unpacked must be what the key of the step was made of. */
function checkUnchanged(node: FileNode, path: string | Buffer): void {
  const now = statFile(path);
  const { status } = node;
  const same =
    now?.size === status.size &&
    now.ctimeSeconds === status.ctimeSeconds &&
    now.ctimeNanoseconds === status.ctimeNanoseconds;
  if (!same) throw new ChangedUnderBuildError(shownPath(node));
}

function startOf(path: string | Buffer): Uint8Array {
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(MAGIC_LENGTH);
    return start.subarray(0, readSync(file, start));
  } finally {
    closeSync(file);
  }
}
