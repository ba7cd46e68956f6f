import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { decompress, detectCompression, MAGIC_LENGTH } from '../../../engine/ops/file/archive-format.ts';
import { extractMembers } from '../../../engine/ops/file/extract.ts';
import { createTarReader } from '../../../store/content/tar-reader.ts';
import { toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { ApiError } from './api-call.ts';

/**
 * Unpacks the tar that a client sends, compressed or not, into a directory; nothing in it leads out of there. Throws
 * ApiError for a body that is no archive.
 */
export async function unpackBody(request: IncomingMessage, directory: string, signal: AbortSignal): Promise<void> {
  const chunks: AsyncIterator<Buffer> = request[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  while (start.length < MAGIC_LENGTH) {
    const next = await chunks.next();
    if (next.done) break;
    start = Buffer.concat([start, next.value]);
  }
  async function* whole(): AsyncGenerator<Buffer> {
    yield start;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  }
  const members = extractMembers(toBytePath(directory), undefined);
  const reader = createTarReader(members);
  try {
    for await (const chunk of decompress(Readable.from(whole()), detectCompression(start), signal)) reader.push(chunk);
    reader.finish();
    members.finish();
  } catch (cause) {
    signal.throwIfAborted();
    throw new ApiError(400, cause instanceof Error ? cause.message : String(cause), { cause });
  } finally {
    members.close();
  }
}
