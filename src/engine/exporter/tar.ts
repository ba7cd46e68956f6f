import { createReadStream } from 'node:fs';
import { roundUp, TAR_END } from '../../store/content/tar-header.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { LayerChangedError } from '../../store/snapshot/layer-tar.ts';
import { treeTarMembers } from '../../store/snapshot/tree-tar.ts';
import { fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';

/**
 * A tree as a tar, as `treeTarMembers` makes it (exporters facts, 7). Throws `LayerChangedError` for a file that became
 * shorter meanwhile, and what `treeTarMembers` throws.
 * @param epoch seconds; every time is set to it
 */
export async function* treeTar(
  tree: FileTree,
  epoch: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const { path, header, content } of treeTarMembers(tree, { epoch })) {
    signal.throwIfAborted();
    yield header;
    if (content === undefined) continue;
    const { size } = content;
    let left = size;
    const file = createReadStream(systemPath(tree.location(content)), { highWaterMark: 1 << 18, end: size - 1 });
    for await (const chunk of file) {
      left -= chunk.length;
      yield chunk;
    }
    if (left > 0) throw new LayerChangedError(`${fromBytePath(path)} became shorter while it was read`);
    yield new Uint8Array(roundUp(size) - size);
  }
  yield TAR_END;
}
