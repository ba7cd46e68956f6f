import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Code } from './code.ts';
import { StatusError } from './status.ts';

const PREFIX = 5;
/** Below this, one copy costs less than a second frame. */
const COPIED = 16 * 1024;

const decompress = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

/** How messages come in. */
export interface ReadOptions {
  /** The most bytes that a message may have. */
  readonly limit: number;
  /** The value of `grpc-encoding`; asked when a compressed message comes. */
  readonly encoding: () => string | undefined;
}

/**
 * The messages of a stream of bytes, each after a flag and its length (gRPC over HTTP2, Length-Prefixed-Message). The stream
 * is not destroyed when the reader stops early. Throws StatusError for messages that are too large or cannot be decoded,
 * and what the stream throws.
 */
export async function* readMessages(
  stream: Readable,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let chunks: Buffer[] = [];
  let available = 0;
  /** Bytes that are needed before anything can be done. */
  let wanted = PREFIX;
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    available += chunk.length;
    if (available < wanted) continue;
    let bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks, available);
    for (;;) {
      wanted = PREFIX;
      if (bytes.length < wanted) break;
      const length = bytes.readUInt32BE(1);
      if (length > options.limit) throw tooLarge(length, options.limit);
      wanted = PREFIX + length;
      if (bytes.length < wanted) break;
      const message = bytes.subarray(PREFIX, wanted);
      yield bytes[0] === 0 ? message : await inflate(message, options);
      bytes = bytes.subarray(wanted);
    }
    chunks = bytes.length === 0 ? [] : [bytes];
    available = bytes.length;
  }
  if (available > 0) throw new StatusError(Code.internal, 'unexpected end of a message');
}

function tooLarge(length: number, limit: number): StatusError {
  return new StatusError(Code.resourceExhausted, `grpc: received message larger than max (${length} vs. ${limit})`);
}

async function inflate(message: Buffer, { limit, encoding }: ReadOptions): Promise<Buffer> {
  const name = encoding() ?? 'identity';
  if (name === 'identity') return message;
  if (name !== 'gzip')
    throw new StatusError(Code.unimplemented, `grpc: Decompressor is not installed for grpc-encoding "${name}"`);
  try {
    return await decompress(message, { maxOutputLength: limit });
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new StatusError(
        Code.resourceExhausted,
        `grpc: received message after decompression larger than max ${limit}`,
      );
    throw new StatusError(Code.internal, `grpc: failed to decompress the message: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Writes one message, uncompressed, and waits until the stream takes more. Throws StatusError when it is larger than
 * `limit`, and when the stream is closed.
 */
export async function writeMessage(stream: Writable, message: Uint8Array, limit: number): Promise<void> {
  if (message.length > limit)
    throw new StatusError(
      Code.resourceExhausted,
      `grpc: trying to send message larger than max (${message.length} vs. ${limit})`,
    );
  if (stream.destroyed || stream.writableEnded) throw closed();
  let takesMore: boolean;
  if (message.length <= COPIED) {
    const frame = Buffer.allocUnsafe(PREFIX + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, PREFIX);
    takesMore = stream.write(frame);
  } else {
    const prefix = Buffer.alloc(PREFIX);
    prefix.writeUInt32BE(message.length, 1);
    stream.cork();
    stream.write(prefix);
    takesMore = stream.write(message);
    stream.uncork();
  }
  if (!takesMore) await drained(stream);
}

function drained(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle);
      if (stream.destroyed) reject(closed());
      else resolve();
    };
    stream.on('drain', settle).on('close', settle);
  });
}

function closed(): StatusError {
  return new StatusError(Code.unavailable, 'the stream is closed');
}
