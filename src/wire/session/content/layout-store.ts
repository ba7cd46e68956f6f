import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, hexOf, isDigest } from '../../oci/digest.ts';
import type { BlobInfo, BlobIngest, BlobStore, IngestStatus } from './blob-store.ts';

const CHUNK = 1024 * 1024;

/**
 * The blobs of an OCI image layout on disk (OCI image spec, image-layout.md), which is made with the first blob that is
 * written. What is being written is in `ingest/`. The index is none of its business.
 */
export function layoutStore(directory: string): BlobStore {
  const blobs = join(directory, 'blobs', 'sha256');
  const ingests = join(directory, 'ingest');
  const pathOf = (digest: Digest): string => join(blobs, hexOf(digest));
  const ingestOf = (ref: string): string => join(ingests, hexOf(digestOf(ref)));
  const locked = new Set<string>();

  async function info(digest: Digest): Promise<BlobInfo | undefined> {
    const found = await ifThere(stat(pathOf(digest)));
    return found && { digest, size: found.size, createdAt: found.ctime, updatedAt: found.mtime };
  }

  async function statusOf(place: string): Promise<IngestStatus | undefined> {
    const [ref, data] = await Promise.all([
      ifThere(readFile(join(place, 'ref'), 'utf8')),
      ifThere(stat(join(place, 'data'))),
    ]);
    if (ref === undefined || data === undefined) return undefined;
    return { ref, offset: data.size, startedAt: data.birthtime, updatedAt: data.mtime };
  }

  async function openIngest(ref: string): Promise<BlobIngest> {
    const place = ingestOf(ref);
    await mkdir(blobs, { recursive: true });
    await mkdir(place, { recursive: true });
    await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(place, 'ref'), ref);
    const data = join(place, 'data');
    const file = await open(data, 'a');
    let hash = createHash('sha256');
    for await (const chunk of createReadStream(data, { highWaterMark: CHUNK })) hash.update(chunk);
    let status: IngestStatus = (await statusOf(place)) ?? {
      ref,
      offset: 0,
      startedAt: new Date(),
      updatedAt: new Date(),
    };
    const digest = (): Digest => `sha256:${hash.copy().digest('hex')}`;
    return {
      get status() {
        return status;
      },
      digest,
      async truncate() {
        await file.truncate(0);
        hash = createHash('sha256');
        status = { ...status, offset: 0, updatedAt: new Date() };
      },
      async append(bytes) {
        await writeAll(file, bytes);
        hash.update(bytes);
        status = { ...status, offset: status.offset + bytes.length, updatedAt: new Date() };
      },
      async commit() {
        await file.close();
        await rename(data, pathOf(digest()));
        await rm(place, { recursive: true, force: true });
      },
      async [Symbol.asyncDispose]() {
        locked.delete(ref);
        await file.close().catch(() => {});
      },
    };
  }

  return {
    info,
    async *read(digest, offset, length) {
      if (length <= 0) return;
      const range = { start: offset, end: offset + length - 1 };
      for await (const chunk of createReadStream(pathOf(digest), { ...range, highWaterMark: CHUNK })) yield chunk;
    },
    async *list() {
      for (const name of ((await ifThere(readdir(blobs))) ?? []).sort()) {
        const digest = `sha256:${name}`;
        const found = isDigest(digest) ? await info(digest) : undefined;
        if (found !== undefined) yield found;
      }
    },
    writing: {
      async open(ref) {
        if (locked.has(ref)) return undefined;
        locked.add(ref);
        try {
          return await openIngest(ref);
        } catch (error) {
          locked.delete(ref);
          throw error;
        }
      },
      status: ref => statusOf(ingestOf(ref)),
      async list() {
        const names = (await ifThere(readdir(ingests))) ?? [];
        const all = await Promise.all(names.sort().map(name => statusOf(join(ingests, name))));
        return all.filter(status => status !== undefined);
      },
      async abort(ref) {
        const wasThere = (await statusOf(ingestOf(ref))) !== undefined;
        await rm(ingestOf(ref), { recursive: true, force: true });
        return wasThere;
      },
      async delete(digest) {
        return (await ifThere(unlink(pathOf(digest)).then(() => true))) ?? false;
      },
    },
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** What is read, or undefined if nothing is there. */
async function ifThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}
