import type { Codec } from '../grpc/method.ts';

/** The tag of field 1, length-delimited. */
const DATA_TAG = 0x0a;

/**
 * The codec of all messages of the form `BytesMessage { bytes data = 1; }`, which several services have and which carry most
 * of what a session moves: written by hand, it copies the bytes once, and when it reads never.
 */
export const bytesMessage: Codec<Uint8Array> = {
  encode: data => encodeBytes([data], data.length),
  decode(message) {
    let data = message.subarray(0, 0);
    let at = 0;
    while (at < message.length) {
      const tag = message[at++] ?? 0;
      const [length, start] = readVarint(message, at);
      at = start + length;
      if (tag !== DATA_TAG || at > message.length) throw new RangeError('not a message of bytes');
      data = message.subarray(start, at);
    }
    return data;
  },
};

/** The message whose data is the parts one after the other, `length` bytes in all. */
export function encodeBytes(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (length === 0) return noBytes;
  const prefix = 1 + varintLength(length);
  const message = Buffer.allocUnsafe(prefix + length);
  message[0] = DATA_TAG;
  let at = writeVarint(message, 1, length);
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

const noBytes = new Uint8Array();

/** How many bytes a number takes as a varint; the number is below 2^53. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Writes a number below 2^53 as a varint; returns where it ends. */
export function writeVarint(into: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[end++] = (rest % 0x80) | 0x80;
  into[end++] = rest;
  return end;
}

function readVarint(from: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  let factor = 1;
  for (let end = at; end < at + 7; end++) {
    const byte = from[end];
    if (byte === undefined) break;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return [value, end + 1];
    factor *= 0x80;
  }
  throw new RangeError('not a varint');
}
