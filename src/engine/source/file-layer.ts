import { createHash } from 'node:crypto';
import { chmod, chown, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimes } from '../../host/system/inode.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { LayerID } from '../ops/ref.ts';
import type { FileAttributes } from './http-key.ts';
import type { SourceLayers } from './layer-port.ts';

/** A layer with one file in it, and what was found about the file while it was written. */
export interface FileLayer {
  readonly layer: LayerID;
  readonly digest: Digest;
}

const DEFAULT_MODE = 0o600;

/**
 * Makes a layer of one file.
 * @param modified its time, milliseconds since the epoch
 * @param accept called with the digest before the layer is made; throws when the bytes are not the right ones
 */
export async function writeFileLayer(
  layers: SourceLayers,
  file: FileAttributes & { readonly name: string; readonly modified: number },
  bytes: AsyncIterable<Uint8Array>,
  accept: (digest: Digest) => void,
  signal: AbortSignal,
): Promise<FileLayer> {
  await using active = await layers.prepare([], signal);
  const path = join(active.upper, file.name);
  const hash = createHash('sha256');
  const handle = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of bytes) {
      signal.throwIfAborted();
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
  const digest: Digest = `sha256:${hash.digest('hex')}`;
  accept(digest);
  // A change of owner clears the set-id bits, so the mode comes after it.
  if (file.uid !== 0 || file.gid !== 0) await chown(path, file.uid, file.gid);
  await chmod(path, file.perm === 0 ? DEFAULT_MODE : file.perm & 0o7777);
  const time = BigInt(file.modified) * 1_000_000n;
  setTimes(path, time, time);
  return { layer: await active.commit(signal), digest };
}
