import { Duplex } from 'node:stream';
import type { Outbox } from './outbox.ts';

/** The most bytes that one message carries. Go's programs send 32 KiB; more costs less. */
const LARGEST = 256 * 1024;

/**
 * A connection whose bytes travel in the messages of a call: what comes in and what is put into `outgoing` to be sent. Its end
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
        if (value.length > 0 && !connection.push(value)) break;
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
      send(outgoing, chunk).then(() => done(), done);
    },
    writev(parts, done) {
      send(outgoing, Buffer.concat(parts.map(part => part.chunk))).then(() => done(), done);
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

async function send(outgoing: Outbox<Uint8Array>, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += LARGEST) await outgoing.send(bytes.subarray(at, at + LARGEST));
}
