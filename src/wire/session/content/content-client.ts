import { setTimeout as delay } from 'node:timers/promises';
import type { Channel } from '../../grpc/channel.ts';
import { Code } from '../../grpc/code.ts';
import type { MetadataInit } from '../../grpc/metadata.ts';
import { serviceClient } from '../../grpc/service-client.ts';
import { hasCode, StatusError } from '../../grpc/status.ts';
import type { Digest } from '../../oci/digest.ts';
import { Content, WriteAction, type WriteContentRequest } from '../../proto/gen/containerd/content_pb.ts';
import { createOutbox } from '../outbox.ts';
import { STORE_ID } from './content-server.ts';

/** A blob that is to be written. */
interface RemoteBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** What the writing of it is called, so that nobody else writes the same: `layer-<digest>`, `config-<digest>`, … */
  readonly ref: string;
}

/** The blobs of a store at the other end of a channel. All reject with StatusError. */
export interface RemoteContent {
  /** The size of a blob in bytes; undefined if it is not there. */
  size(digest: Digest, signal: AbortSignal): Promise<number | undefined>;
  /** The bytes of a blob from an offset, to its end unless a length is given. */
  read(digest: Digest, offset: number, signal: AbortSignal, length?: number): AsyncIterable<Uint8Array>;
  /** Writes a blob unless it is there. @param open gives its bytes, from the start, each time it is called */
  write(blob: RemoteBlob, open: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
}

const CHUNK = 1024 * 1024;
const ATTEMPTS = 10;
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 2000;

/**
 * The content service behind a channel.
 * @param store one of those that a session's client offers: `oci:<id>`, `local:<path>`, `export`; none for that of a daemon
 */
export function remoteContent(channel: Channel, store?: string): RemoteContent {
  const client = serviceClient(Content, channel);
  const metadata: MetadataInit = store === undefined ? [] : [[STORE_ID, store]];

  async function writeOnce(
    { digest, size, ref }: RemoteBlob,
    open: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    type Request = Partial<Omit<WriteContentRequest, '$typeName' | '$unknown'>>;
    const requests = createOutbox<Request>();
    const stop = new AbortController();
    const options = { metadata, signal: AbortSignal.any([signal, stop.signal]) };
    const responses = client.write(requests, options)[Symbol.asyncIterator]();
    /** One answer for each request. */
    const ask = async (request: Request): Promise<void> => {
      await requests.send(request);
      const { done } = await responses.next();
      if (done) throw new StatusError(Code.unknown, `the store stopped taking blob ${digest}`);
    };
    try {
      await ask({ action: WriteAction.STAT, ref, total: BigInt(size), expected: digest });
      let offset = 0;
      for await (const bytes of open()) {
        for (let at = 0; at < bytes.length; at += CHUNK) {
          const data = bytes.subarray(at, at + CHUNK);
          await ask({ action: WriteAction.WRITE, offset: BigInt(offset), data });
          offset += data.length;
        }
      }
      await ask({ action: WriteAction.COMMIT, total: BigInt(size), offset: BigInt(offset), expected: digest });
    } finally {
      requests.close();
      stop.abort();
    }
  }

  return {
    async size(digest, signal) {
      try {
        return Number((await client.info({ digest }, { metadata, signal })).info?.size ?? 0n);
      } catch (error) {
        if (hasCode(error, Code.notFound) && !error.message.startsWith('unknown store')) return undefined;
        throw error;
      }
    },
    async *read(digest, offset, signal, length = 0) {
      const request = { digest, offset: BigInt(offset), size: BigInt(length) };
      for await (const { data } of client.read(request, { metadata, signal })) yield data;
    },
    async write(blob, open, signal) {
      for (let attempt = 1, pause = FIRST_PAUSE; ; attempt++, pause = Math.min(2 * pause, LONGEST_PAUSE)) {
        try {
          await writeOnce(blob, open, signal);
          return;
        } catch (error) {
          if (hasCode(error, Code.alreadyExists)) return;
          // Somebody else writes it; soon it will be there.
          const isLocked = hasCode(error, Code.unavailable) && error.message.includes('locked');
          if (!isLocked || attempt === ATTEMPTS) throw error;
          await delay(pause, undefined, { signal });
        }
      }
    },
  };
}
