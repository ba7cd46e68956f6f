import { createHash } from 'node:crypto';
import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { decompressFile } from '../content/decompress.ts';
import { DigestMismatchError } from '../content/store-error.ts';
import { createTarReader } from '../content/tar-reader.ts';
import type { TaskContext } from '../content/task.ts';
import { createLayerUnpacker } from './layer-unpacker.ts';
import type { OverlayStack } from './overlay-stack.ts';

/** A blob to be unpacked into a layer directory. */
export interface ApplyLayerInput {
  /** The blob's file. */
  readonly blob: string;
  /** An empty directory. */
  readonly target: BytePath;
  /** The directories of the layers below, top first. */
  readonly lower: OverlayStack;
  /** Digest of the tar; empty if it is not known. */
  readonly diffID: string;
  /** Overlay's marks go to `user.overlay.*`, and no devices are made. */
  readonly unprivileged: boolean;
}

/** What was unpacked. */
export interface AppliedLayer {
  readonly diffID: string;
  /** Whether the layer hides anything of those below. */
  readonly hides: boolean;
}

/**
 * Task: unpacks a layer's blob in overlay's format (layers facts, section 2). Throws `DigestMismatchError` when the tar is
 * not the promised one, `InvalidArchiveError`, `SystemError` and errors of `node:fs`; the directory is unusable then.
 */
export async function applyLayer(input: ApplyLayerInput, context: TaskContext): Promise<AppliedLayer> {
  const hash = createHash('sha256');
  using unpacker = createLayerUnpacker(input.target, input.lower, input.unprivileged);
  const reader = createTarReader(unpacker);
  for await (const chunk of decompressFile(input.blob)) {
    context.throwIfAborted();
    hash.update(chunk);
    reader.push(chunk);
  }
  reader.finish();
  const diffID = `sha256:${hash.digest('hex')}`;
  if (input.diffID !== '' && input.diffID !== diffID) {
    throw new DigestMismatchError('the unpacked layer', input.diffID, diffID);
  }
  unpacker.finish();
  return { diffID, hides: unpacker.hides() };
}
