import { Readable } from 'node:stream';
import { decompress, detectCompression } from '../../engine/ops/file/archive-format.ts';
import { TarType } from '../../store/content/tar-header.ts';
import { createTarReader } from '../../store/content/tar-reader.ts';

/** When the newest regular file of an archive changed, seconds since 1970; undefined for what is no archive. */
export async function newestInArchive(archive: Uint8Array, signal: AbortSignal): Promise<number | undefined> {
  let newest: number | undefined;
  const reader = createTarReader({
    entry({ type, mtime }) {
      if (type === TarType.file && (newest === undefined || mtime > newest)) newest = mtime;
    },
    data: () => undefined,
  });
  try {
    for await (const chunk of decompress(Readable.from([archive]), detectCompression(archive), signal))
      reader.push(chunk);
    reader.finish();
    return newest;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
