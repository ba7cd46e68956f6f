import { Duplex } from 'node:stream';
import { bytesMessage, encodeBytes } from './bytes-message.ts';
import type { Outbox } from './outbox.ts';

/** The most bytes that one message carries. Go's programs send 32 KiB; more costs less. */
const LARGEST = 256 * 1024;

/**
 * A connection whose bytes travel in the messages (`BytesMessage`, encoded) of a call: what comes in and what is put into `outgoing` to be sent. Its end
 * ends the call's requests; it ends with the call.
 */
export function tunnelConnection(incoming: AsyncIterable<Uint8Array>, outgoing: Outbox<Uint8Array>): Duplex {
  const chunks = incoming[Symbol.asyncIterator]();
  let isReading = false;

  async function read(): Promise<void> {
    if (isReading) return;
    isReading = true;
    try {
      for (;;) {
        const { done, value } = await chunks.next();
        if (done) {
          connection.push(null);
          return;
        }
        const data = bytesMessage.decode(value);
        if (data.length > 0 && !connection.push(data)) break;
      }
    } catch (error) {
      connection.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      isReading = false;
    }
  }

  const connection = new Duplex({
    read: () => void read(),
    write(chunk: Buffer, _encoding, done) {
      outgoing.send(encodeBytes([chunk], chunk.length)).then(() => done(), done);
    },
    writev(parts, done) {
      sendAll(
        parts.map(part => part.chunk),
        outgoing,
      ).then(() => done(), done);
    },
    final(done) {
      outgoing.close();
      done();
    },
    destroy(error, done) {
      outgoing.close();
      chunks.return?.().catch(() => {});
      done(error);
    },
  });
  return connection;
}

/** Sends chunks as few messages. No chunk is large: HTTP/2 cuts them. */
async function sendAll(chunks: readonly Buffer[], outgoing: Outbox<Uint8Array>): Promise<void> {
  let parts: Buffer[] = [];
  let length = 0;
  for (const chunk of chunks) {
    if (length > 0 && length + chunk.length > LARGEST) {
      await outgoing.send(encodeBytes(parts, length));
      parts = [];
      length = 0;
    }
    parts.push(chunk);
    length += chunk.length;
  }
  await outgoing.send(encodeBytes(parts, length));
}
