/**
 * File names are bytes, and not always UTF-8. Inside this project a name or path of the disk is a **byte path**: a string
 * with one character (U+0000 to U+00FF) for each byte. Such strings compare and sort as bytes with `<`, join and slice like
 * any other, and an ASCII path is its own byte path.
 */
export type BytePath = string;

const BEYOND_ASCII = /[\x80-\xff]/;

/** The byte path of a text: its UTF-8 bytes. */
export function toBytePath(text: string): BytePath {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** The text of a byte path; U+FFFD stands for what is not UTF-8. */
export function fromBytePath(path: BytePath): string {
  return BEYOND_ASCII.test(path) ? Buffer.from(path, 'latin1').toString('utf8') : path;
}

/** A byte path as `node:fs` and system calls take it. */
export function systemPath(path: BytePath): string | Buffer {
  return BEYOND_ASCII.test(path) ? Buffer.from(path, 'latin1') : path;
}
