import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { type BlobCompression, type BlobWriter, createBlobWriter, type WrittenBlob } from '../content/blob-writer.ts';
import { decompressFile } from '../content/decompress.ts';
import { encodeTarHeader, roundUp, TAR_END, type TarHeader } from '../content/tar-header.ts';
import { createTarReader, GLOBAL_HEADER, parsePaxTime } from '../content/tar-reader.ts';
import type { TaskContext } from '../content/task.ts';

/** A layer's blob to be made into another. */
export interface ConvertLayerInput {
  readonly blob: string;
  /** Where the new blob goes; must not exist. */
  readonly output: string;
  readonly compression: BlobCompression;
  /** Later times become this one, in seconds (layers facts, section 1, "rewrite-timestamp"). */
  readonly epoch?: number;
}

/**
 * Task: compresses a blob anew, and clamps its times if asked for. Without that the tar stays as it is, byte for byte.
 * Throws `InvalidArchiveError` and what the blob writer throws.
 */
export async function convertLayer(input: ConvertLayerInput, context: TaskContext): Promise<WrittenBlob> {
  using writer = createBlobWriter(input.output, input.compression);
  const chunks = decompressFile(input.blob);
  if (input.epoch !== undefined) {
    await rewrite(chunks, writer, input.epoch, context);
    return await writer.finish();
  }
  for await (const chunk of chunks) {
    context.throwIfAborted();
    await writer.write(chunk);
  }
  return await writer.finish();
}

async function rewrite(
  chunks: AsyncIterable<Uint8Array>,
  writer: BlobWriter,
  epoch: number,
  context: TaskContext,
): Promise<void> {
  const pieces: Uint8Array[] = [];
  let padding = 0;
  const reader = createTarReader({
    entry(header) {
      padding = 0;
      // Its records apply to nothing in a layer.
      if (header.type === GLOBAL_HEADER) return;
      pieces.push(encodeTarHeader(clamped(header, epoch)));
      padding = roundUp(header.size) - header.size;
    },
    // The chunk lives until its pieces are written.
    data(chunk) {
      pieces.push(chunk);
    },
    end() {
      if (padding > 0) pieces.push(new Uint8Array(padding));
    },
  });
  for await (const chunk of chunks) {
    context.throwIfAborted();
    reader.push(chunk);
    for (const piece of pieces) await writer.write(piece);
    pieces.length = 0;
  }
  reader.finish();
  await writer.write(TAR_END);
}

const WITHOUT_CONTENT = /^[1-6]$/;

function clamped(header: TarHeader, epoch: number): TarHeader {
  const { mtime, mtimeNanoseconds = 0 } = header;
  const isLate = mtime > epoch || (mtime === epoch && mtimeNanoseconds > 0);
  const records = header.records === undefined ? undefined : clampedRecords(header.records, epoch);
  return {
    ...header,
    ...(WITHOUT_CONTENT.test(header.type) ? { size: 0 } : {}),
    ...(isLate ? { mtime: epoch, mtimeNanoseconds: 0 } : {}),
    ...(records === undefined ? {} : { records }),
  };
}

/** Access and change times, where a tar has them. */
function clampedRecords(records: ReadonlyMap<BytePath, BytePath>, epoch: number): Map<BytePath, BytePath> {
  const result = new Map(records);
  for (const key of ['atime', 'ctime']) {
    const value = records.get(key);
    if (value === undefined || value === '') continue;
    const { mtime, mtimeNanoseconds } = parsePaxTime(value);
    if (mtime > epoch || (mtime === epoch && mtimeNanoseconds > 0)) result.set(key, String(epoch));
  }
  return result;
}
