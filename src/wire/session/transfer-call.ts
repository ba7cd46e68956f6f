import type { Channel } from '../grpc/channel.ts';
import type { MetadataInit } from '../grpc/metadata.ts';
import type { Method } from '../grpc/method.ts';
import { createOutbox } from './outbox.ts';
import type { PacketStream } from './transfer/packet-stream.ts';

/** Makes a call whose messages are the packets of a transfer, and waits for its end. Rejects as `transfer` and the call do. */
export async function transferFiles(
  channel: Channel,
  method: Method<Uint8Array, Uint8Array, Uint8Array, Uint8Array>,
  metadata: MetadataInit,
  signal: AbortSignal,
  transfer: (stream: PacketStream) => Promise<void>,
): Promise<void> {
  const outgoing = createOutbox<Uint8Array>();
  const stop = new AbortController();
  const call = channel.stream(method, outgoing, { metadata, signal: AbortSignal.any([signal, stop.signal]) });
  const responses = call[Symbol.asyncIterator]();
  // Leaving the loop over the packets must not end the call: its status is still to come.
  const incoming = { [Symbol.asyncIterator]: () => ({ next: () => responses.next() }) };
  try {
    await transfer({ incoming, send: packet => outgoing.send(packet) });
    outgoing.close();
    while (!(await responses.next()).done);
  } finally {
    outgoing.close();
    stop.abort();
  }
}
