const START_CAPACITY = 1 << 16;

/**
 * Writes protobuf from the last field to the first, so that a length is known when its prefix is due and nothing is moved.
 * One buffer serves for all messages.
 */
export interface ReverseWriter {
  /** How much is written. */
  readonly length: number;
  /** Drops what an earlier message may have left. */
  begin(): void;
  /** A copy of what was written. */
  finish(): Uint8Array;
  bytes(data: Uint8Array): void;
  /** A well-formed text as UTF-8. */
  text(text: string): void;
  /** An unsigned number below 2 ** 53. */
  varint(value: number): void;
  /** A 64-bit number; negative ones as two's complement. */
  varint64(value: bigint): void;
}

export function makeReverseWriter(): ReverseWriter {
  let buffer = Buffer.allocUnsafeSlow(START_CAPACITY);
  let start = buffer.length;

  const reserve = (size: number): number => {
    if (start < size) {
      const used = buffer.length - start;
      const grown = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, used + size));
      buffer.copy(grown, grown.length - used, start);
      buffer = grown;
      start = grown.length - used;
    }
    start -= size;
    return start;
  };

  return {
    get length() {
      return buffer.length - start;
    },
    begin: () => {
      start = buffer.length;
    },
    finish: () => new Uint8Array(buffer.subarray(start)),
    bytes: data => {
      buffer.set(data, reserve(data.length));
    },
    text: text => {
      buffer.write(text, reserve(Buffer.byteLength(text)));
    },
    varint: value => {
      if (value < 0x80) {
        buffer[reserve(1)] = value;
        return;
      }
      let size = 1;
      for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
      let at = reserve(size);
      let rest = value;
      for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) buffer[at++] = (rest % 0x80) | 0x80;
      buffer[at] = rest;
    },
    varint64: value => {
      if (value >= 0n && value < 0x80n) {
        buffer[reserve(1)] = Number(value);
        return;
      }
      let rest = BigInt.asUintN(64, value);
      const encoded: number[] = [];
      for (; rest >= 0x80n; rest >>= 7n) encoded.push(Number(rest & 0x7fn) | 0x80);
      encoded.push(Number(rest));
      buffer.set(encoded, reserve(encoded.length));
    },
  };
}
