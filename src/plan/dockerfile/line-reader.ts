const MAX_BYTES = 65_535;
/** The most UTF-8 bytes that one UTF-16 code unit takes. */
const BYTES_PER_UNIT = 3;

/**
 * Reads a text line by line, each with its newline, and stops at a line that is too long. As in BuildKit, whose scanner
 * keeps what it has read, one more call then gives the first 65,536 bytes of that line.
 */
export class LineReader {
  /** The number of lines read so far, which is the number of the last one. */
  line = 0;
  /** Whether reading stopped at a line of more than 65,535 bytes. */
  isTooLong = false;
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next line; undefined at the end. A byte order mark at the start of the text is left out. */
  next(): string | undefined {
    if (this.isTooLong) return this.#nextAfterTooLong();
    if (this.#at >= this.#text.length) return undefined;
    const newline = this.#text.indexOf('\n', this.#at);
    const end = newline < 0 ? this.#text.length : newline;
    const length = end - this.#at;
    if (length * BYTES_PER_UNIT > MAX_BYTES && Buffer.byteLength(this.#text.slice(this.#at, end)) > MAX_BYTES) {
      this.isTooLong = true;
      return undefined;
    }
    const line = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    this.line++;
    return this.line === 1 && line.startsWith('\ufeff') ? line.slice(1) : line;
  }

  #nextAfterTooLong(): string | undefined {
    if (this.#at >= this.#text.length) return undefined;
    const start = this.#text.slice(this.#at, this.#at + MAX_BYTES + 1);
    this.#at = this.#text.length;
    this.line++;
    return Buffer.from(start)
      .subarray(0, MAX_BYTES + 1)
      .toString();
  }
}
