import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { type BlobCompression, createBlobWriter, type WrittenBlob } from '../content/blob-writer.ts';
import type { TaskContext } from '../content/task.ts';
import { layerChanges, treeChanges } from './layer-changes.ts';
import { layerTar } from './layer-tar.ts';
import type { OverlayStack } from './overlay-stack.ts';

/** A layer directory to be made into a blob. */
export interface WriteLayerInput {
  /** The layer's files, or the whole tree that it makes of the lower one, which is then compared with that. */
  readonly upper: BytePath | OverlayStack;
  /** Those of the layers that it was made on, top first, all unpacked. */
  readonly lower: OverlayStack;
  /** Where the blob goes; must not exist. */
  readonly output: string;
  readonly compression: BlobCompression;
  /** Later times become this one, in seconds. */
  readonly epoch?: number;
  /** Give up, with undefined and no file, when the tar gets longer than this or has more pieces. */
  readonly limit?: { readonly bytes: number; readonly pieces: number };
}

/** Task: writes a layer's tar, compressed and hashed on the way. Throws what `layerTar` and the blob writer throw. */
export async function writeLayer(input: WriteLayerInput, context: TaskContext): Promise<WrittenBlob | undefined> {
  const { limit = { bytes: Number.POSITIVE_INFINITY, pieces: Number.POSITIVE_INFINITY } } = input;
  using writer = createBlobWriter(input.output, input.compression);
  let { bytes, pieces } = limit;
  const changes =
    typeof input.upper === 'string' ? layerChanges(input.upper, input.lower) : treeChanges(input.lower, input.upper);
  for (const piece of layerTar(changes, input.epoch)) {
    bytes -= piece.length;
    pieces--;
    if (bytes < 0 || pieces < 0) return undefined;
    const wait = writer.write(piece);
    if (wait !== undefined) await wait;
    context.throwIfAborted();
  }
  return await writer.finish();
}
