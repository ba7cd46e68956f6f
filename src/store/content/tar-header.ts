import type { BytePath } from '../../wire/fsutil/byte-path.ts';

/** Type flags of tar entries (POSIX pax, "ustar header block"). */
export const TarType = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const;

/** One member of a tar. Texts are byte paths: one character for each byte. */
export interface TarHeader {
  /** No leading slash; directories end in one. */
  readonly name: BytePath;
  /** A type flag, see `TarType`. */
  readonly type: string;
  /** Permission bits, setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow. */
  readonly size: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  /** 0 to 999999999, on top of `mtime`. */
  readonly mtimeNanoseconds?: number;
  readonly linkname?: BytePath;
  readonly uname?: BytePath;
  readonly gname?: BytePath;
  readonly devmajor?: number;
  readonly devminor?: number;
  /** Further PAX records, such as `SCHILY.xattr.security.capability`; values are bytes. */
  readonly records?: ReadonlyMap<BytePath, BytePath>;
}

export const TAR_BLOCK = 512;
/** What ends a tar. */
export const TAR_END: Uint8Array = new Uint8Array(2 * TAR_BLOCK);

const NAME_SIZE = 100;
const PREFIX_SIZE = 155;
const NOT_ASCII = /[^\x01-\x7f]/;
const SLASH = 0x2f;

/** A header with a value that no tar can hold. */
export class TarHeaderError extends Error {
  override readonly name = 'TarHeaderError';
}

/**
 * The header blocks of a member, as Go's `archive/tar` writes them when asked for PAX: plain USTAR if everything fits,
 * else a PAX header with exactly what does not fit, and the main header with what is left. (Layers facts, section 1,
 * "Entry".) Throws `TarHeaderError`.
 */
export function encodeTarHeader(header: TarHeader): Uint8Array {
  const split = splitName(header.name);
  const records = recordsOf(header);
  const fitsName = header.name.length <= NAME_SIZE ? !NOT_ASCII.test(header.name) : split !== undefined;
  const fitsRest = records.size === 0 || (records.size === 1 && records.has('path'));
  if (fitsName && fitsRest && (header.records?.size ?? 0) === 0) {
    return mainBlock(new Uint8Array(TAR_BLOCK), header, split?.name ?? header.name, split?.prefix ?? '');
  }
  // Records that only repeated other fields, and falsely, leave nothing to say.
  if (records.size === 0) return mainBlock(new Uint8Array(TAR_BLOCK), header, asciiPart(header.name), '');
  const body = encodeRecords(records);
  const padded = roundUp(body.length);
  const blocks = new Uint8Array(TAR_BLOCK + padded + TAR_BLOCK);
  paxBlock(blocks.subarray(0, TAR_BLOCK), paxName(header.name), body.length);
  blocks.set(body, TAR_BLOCK);
  mainBlock(blocks.subarray(TAR_BLOCK + padded), header, asciiPart(header.name), '');
  return blocks;
}

/** A size rounded up to whole blocks. */
export function roundUp(size: number): number {
  return Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
}

/** All records of the PAX header, if there is to be one. */
function recordsOf(header: TarHeader): Map<BytePath, BytePath> {
  const records = new Map<BytePath, BytePath>();
  const text = (key: string, value: BytePath, size: number): void => {
    if (value.length > size || NOT_ASCII.test(value) || header.records?.get(key) === value) records.set(key, value);
    if (value.includes('\0')) throw new TarHeaderError(`a NUL byte in ${key}: ${JSON.stringify(value)}`);
  };
  const number = (key: string, value: number): void => {
    if (!fits(value, 8) || header.records?.get(key) === String(value)) records.set(key, String(value));
  };
  text('path', header.name, NAME_SIZE);
  text('linkpath', header.linkname ?? '', NAME_SIZE);
  text('uname', header.uname ?? '', 32);
  text('gname', header.gname ?? '', 32);
  number('uid', header.uid);
  number('gid', header.gid);
  if (!fits(header.size, 12) || header.records?.get('size') === String(header.size)) {
    records.set('size', String(header.size));
  }
  const time = paxTime(header.mtime, header.mtimeNanoseconds ?? 0);
  if (!fits(header.mtime, 12) || (header.mtimeNanoseconds ?? 0) !== 0 || header.records?.get('mtime') === time) {
    records.set('mtime', time);
  }
  for (const [field, value] of [
    ['mode', header.mode],
    ['devmajor', header.devmajor ?? 0],
    ['devminor', header.devminor ?? 0],
  ] as const) {
    if (!fits(value, 8)) throw new TarHeaderError(`${field} ${value} of ${header.name} is out of range`);
  }
  for (const [key, value] of header.records ?? []) {
    if (key === '' || key.includes('=') || key.includes('\0')) throw new TarHeaderError(`invalid PAX record ${key}`);
    if (!BASIC_KEYS.has(key) && !key.startsWith('GNU.sparse.')) records.set(key, value);
  }
  return records;
}

/** Keys that say what a field of the header says; stale ones are dropped. */
const BASIC_KEYS = new Set(['path', 'linkpath', 'size', 'uid', 'gid', 'uname', 'gname', 'mtime']);

/** Whether a number fits an octal field of `size` bytes with its final NUL. */
function fits(value: number, size: number): boolean {
  return value >= 0 && value < 8 ** (size - 1);
}

function paxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  // Before 1970 the fraction counts away from zero: -1.5 is one and a half seconds before.
  const negative = seconds < 0;
  const whole = negative ? -(seconds + 1) : seconds;
  const fraction = String(negative ? 1_000_000_000 - nanoseconds : nanoseconds).padStart(9, '0');
  return `${negative ? '-' : ''}${whole}.${fraction.replace(/0+$/, '')}`;
}

function splitName(name: BytePath): { readonly prefix: BytePath; readonly name: BytePath } | undefined {
  if (name.length <= NAME_SIZE || NOT_ASCII.test(name)) return undefined;
  let length = name.length;
  if (length > PREFIX_SIZE + 1) length = PREFIX_SIZE + 1;
  else if (name.endsWith('/')) length--;
  const at = name.lastIndexOf('/', length - 1);
  const rest = name.length - at - 1;
  if (at <= 0 || rest > NAME_SIZE || rest === 0 || at > PREFIX_SIZE) return undefined;
  return { prefix: name.slice(0, at), name: name.slice(at + 1) };
}

function asciiPart(text: BytePath): string {
  return NOT_ASCII.test(text) ? text.replace(/[^\x01-\x7f]/g, '') : text;
}

function paxName(name: BytePath): string {
  const slash = name.lastIndexOf('/');
  const joined = `${name.slice(0, slash + 1)}PaxHeaders.0/${name.slice(slash + 1)}`;
  return asciiPart(joined).slice(0, NAME_SIZE).replace(/\/+$/, '');
}

function encodeRecords(records: ReadonlyMap<BytePath, BytePath>): Uint8Array {
  const lines: string[] = [];
  for (const key of [...records.keys()].sort()) {
    const line = ` ${key}=${records.get(key)}\n`;
    // The length counts its own digits.
    let length = line.length + String(line.length).length;
    if (String(length).length + line.length !== length) length = String(length).length + line.length;
    lines.push(`${length}${line}`);
  }
  return Buffer.from(lines.join(''), 'latin1');
}

function paxBlock(block: Uint8Array, name: string, size: number): void {
  putText(block, 0, NAME_SIZE, name);
  putOctal(block, 100, 8, 0);
  putOctal(block, 108, 8, 0);
  putOctal(block, 116, 8, 0);
  putOctal(block, 124, 12, size);
  putOctal(block, 136, 12, 0);
  block[156] = 0x78;
  finish(block);
}

function mainBlock(block: Uint8Array, header: TarHeader, name: string, prefix: string): Uint8Array {
  putText(block, 0, NAME_SIZE, name);
  putOctal(block, 100, 8, header.mode);
  putOctal(block, 108, 8, header.uid);
  putOctal(block, 116, 8, header.gid);
  putOctal(block, 124, 12, header.size);
  putOctal(block, 136, 12, header.mtime);
  block[156] = header.type.charCodeAt(0);
  if (header.linkname !== undefined) putText(block, 157, NAME_SIZE, asciiPart(header.linkname));
  if (header.uname !== undefined) putText(block, 265, 32, asciiPart(header.uname));
  if (header.gname !== undefined) putText(block, 297, 32, asciiPart(header.gname));
  putOctal(block, 329, 8, header.devmajor ?? 0);
  putOctal(block, 337, 8, header.devminor ?? 0);
  if (prefix !== '') putText(block, 345, PREFIX_SIZE, prefix);
  finish(block);
  return block;
}

function putText(block: Uint8Array, at: number, size: number, text: string): void {
  const length = Math.min(text.length, size);
  for (let i = 0; i < length; i++) block[at + i] = text.charCodeAt(i);
  if (text.length > size && block[at + size - 1] === SLASH) {
    // Readers that know no PAX would take a cut name with a slash at its end for a directory.
    let end = size - 1;
    while (end > 0 && block[at + end - 1] === SLASH) end--;
    block[at + end] = 0;
  }
}

function putOctal(block: Uint8Array, at: number, size: number, value: number): void {
  let rest = fits(value, size) ? value : 0;
  for (let i = at + size - 2; i >= at; i--) {
    block[i] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  block[at + size - 1] = 0;
}

/** Magic, version and checksum. */
function finish(block: Uint8Array): void {
  putText(block, 257, 8, 'ustar\x0000');
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (let i = 0; i < TAR_BLOCK; i++) sum += block[i] ?? 0;
  putOctal(block, 148, 7, sum);
}
