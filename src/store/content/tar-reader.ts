import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { InvalidArchiveError } from './store-error.ts';
import { roundUp, TAR_BLOCK, type TarHeader, TarType } from './tar-header.ts';
import { isSparse, readOldSparseMap, readSparseMapText, readSparseRecords, type SparseMap } from './tar-sparse.ts';

/** Takes what a tar holds, in order. */
export interface TarHandler {
  /** A member begins. Long names, PAX records and base-256 numbers are already in it; a sparse file has its full size. */
  entry(header: TarHeader): void;
  /** Some of the content of the last member. The bytes are only valid during the call. */
  data(chunk: Uint8Array): void;
  /** So many zeros follow in the content of a sparse file; without this method they come through `data`. */
  hole?(length: number): void;
  /** The last member is complete. */
  end?(): void;
}

/** Reads a tar that comes in pieces of any size. */
export interface TarReader {
  /** Throws `InvalidArchiveError`, and whatever the handler throws. What follows the end of the tar is ignored. */
  push(chunk: Uint8Array): void;
  /** Says that there is no more. Throws `InvalidArchiveError` when the tar is cut off. */
  finish(): void;
}

/** Headers that describe another may not be larger (Go refuses them too). */
const LARGEST_META = 1 << 20;
const ZEROS = new Uint8Array(64 * 1024);

/** A PAX global header, whose records apply to nothing here. */
export const GLOBAL_HEADER = 'g';

const WITHOUT_CONTENT: ReadonlySet<string> = new Set([
  TarType.link,
  TarType.symlink,
  TarType.char,
  TarType.block,
  TarType.directory,
  TarType.fifo,
]);

interface Collecting {
  readonly size: number;
  readonly done: (content: Buffer) => void;
  readonly parts: Buffer[];
  have: number;
}

/**
 * Makes a reader for USTAR, PAX, GNU (long names, sparse files of all formats) and old tars. An archive that ends at a
 * member's boundary without the two zero blocks is complete.
 */
export function createTarReader(handler: TarHandler): TarReader {
  let state: 'header' | 'collect' | 'content' | 'skip' | 'end' = 'header';
  /** Bytes of a block that came in pieces. */
  const partial = Buffer.alloc(TAR_BLOCK);
  let partialLength = 0;
  let collecting: Collecting | undefined;
  /** Bytes of content, then of padding, still to come. */
  let remaining = 0;
  let padding = 0;
  let sawZeroBlock = false;
  let inMember = false;
  let sparse: { readonly map: SparseMap; index: number; position: number } | undefined;
  let longName: BytePath | undefined;
  let longLink: BytePath | undefined;
  let pax: Map<BytePath, BytePath> | undefined;
  let sparsePax: readonly (readonly [BytePath, BytePath])[] = [];

  const collect = (size: number, done: (content: Buffer) => void): void => {
    if (size > LARGEST_META) throw new InvalidArchiveError(`a tar header of ${size} bytes is too large`);
    collecting = { size: roundUp(size), done: content => done(content.subarray(0, size)), parts: [], have: 0 };
    state = 'collect';
    if (size === 0) collected();
  };

  const collected = (): void => {
    const finished = collecting;
    collecting = undefined;
    state = 'header';
    finished?.done(finished.parts.length === 1 ? (finished.parts[0] ?? partial) : Buffer.concat(finished.parts));
  };

  const onHeader = (block: Buffer): void => {
    if (isZero(block)) {
      if (sawZeroBlock) state = 'end';
      sawZeroBlock = true;
      return;
    }
    if (sawZeroBlock) throw new InvalidArchiveError('a lone zero block in the middle of the tar');
    const raw = readHeader(block);
    switch (raw.type) {
      case 'x':
        collect(raw.size, content => {
          const records = readRecords(content);
          pax = new Map(records);
          sparsePax = records.filter(([key]) => key.startsWith('GNU.sparse.'));
        });
        return;
      case GLOBAL_HEADER:
        collect(raw.size, content => {
          handler.entry({ ...raw, size: 0, records: new Map(readRecords(content)) });
          handler.end?.();
        });
        return;
      case 'L':
        collect(raw.size, content => {
          longName = cString(content, 0, content.length);
        });
        return;
      case 'K':
        collect(raw.size, content => {
          longLink = cString(content, 0, content.length);
        });
        return;
    }
    begin(raw, block);
  };

  /** A member's own header is there. */
  const begin = (raw: TarHeader, block: Buffer): void => {
    let header = raw;
    if (longName !== undefined) header = { ...header, name: longName };
    if (longLink !== undefined) header = { ...header, linkname: longLink };
    if (pax !== undefined) header = withRecords(header, pax);
    if (header.type === '\0')
      header = { ...header, type: header.name.endsWith('/') ? TarType.directory : TarType.file };
    const stored = WITHOUT_CONTENT.has(header.type) ? 0 : header.size;
    const records = sparsePax;
    longName = undefined;
    longLink = undefined;
    pax = undefined;
    sparsePax = [];
    if (raw.type === 'S') {
      beginOldSparse({ ...header, type: TarType.file }, block, stored);
    } else if (isSparse(records)) {
      beginPaxSparse(header, records, stored);
    } else {
      member(header, stored, undefined);
    }
  };

  const beginOldSparse = (header: TarHeader, block: Buffer, stored: number): void => {
    const blocks = [Buffer.from(block)];
    const more = (last: Buffer, flagAt: number): void => {
      if (last[flagAt] === 0) {
        const map = readOldSparseMap(blocks);
        member({ ...header, size: map.size }, stored, map);
        return;
      }
      collect(TAR_BLOCK, content => {
        const copy = Buffer.from(content);
        blocks.push(copy);
        more(copy, 504);
      });
    };
    more(block, 482);
  };

  const beginPaxSparse = (header: TarHeader, records: typeof sparsePax, stored: number): void => {
    const described = readSparseRecords(records);
    const full = { ...header, name: described.name ?? header.name };
    if (described.map !== undefined) {
      member({ ...full, size: described.map.size }, stored, described.map);
      return;
    }
    // Version 1.0: the map lies in front of the content, in whole blocks.
    let text = '';
    let used = 0;
    const more = (): void => {
      collect(TAR_BLOCK, content => {
        text += content.toString('latin1');
        used += TAR_BLOCK;
        if (used > LARGEST_META || used > stored) throw new InvalidArchiveError(`a bad sparse map of ${full.name}`);
        const map = readSparseMapText(text, described.size);
        if (map === undefined) more();
        else member({ ...full, size: map.size }, stored - used, map);
      });
    };
    more();
  };

  const member = (header: TarHeader, stored: number, map: SparseMap | undefined): void => {
    remaining = stored;
    padding = roundUp(stored) - stored;
    sparse = map === undefined ? undefined : { map, index: 0, position: 0 };
    inMember = true;
    handler.entry(header);
    state = 'content';
    if (remaining === 0) contentEnd();
  };

  const contentEnd = (): void => {
    if (sparse !== undefined) hole(sparse.map.size - sparse.position);
    sparse = undefined;
    inMember = false;
    handler.end?.();
    state = padding > 0 ? 'skip' : 'header';
  };

  const hole = (length: number): void => {
    if (length <= 0) return;
    if (handler.hole !== undefined) handler.hole(length);
    else
      for (let left = length; left > 0; left -= ZEROS.length)
        handler.data(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
  };

  const onContent = (chunk: Uint8Array): void => {
    if (sparse === undefined) {
      handler.data(chunk);
      return;
    }
    for (let at = 0; at < chunk.length; ) {
      const fragment = sparse.map.fragments[sparse.index];
      if (fragment === undefined) throw new InvalidArchiveError('more content in a sparse file than its map has');
      if (sparse.position < fragment.offset) {
        hole(fragment.offset - sparse.position);
        sparse.position = fragment.offset;
      }
      const take = Math.min(fragment.offset + fragment.length - sparse.position, chunk.length - at);
      if (take > 0) handler.data(chunk.subarray(at, at + take));
      sparse.position += take;
      at += take;
      if (sparse.position === fragment.offset + fragment.length) sparse.index++;
    }
  };

  const step = (chunk: Buffer, at: number): number => {
    const left = chunk.length - at;
    switch (state) {
      case 'header': {
        if (partialLength === 0 && left >= TAR_BLOCK) {
          onHeader(chunk.subarray(at, at + TAR_BLOCK));
          return TAR_BLOCK;
        }
        const take = Math.min(TAR_BLOCK - partialLength, left);
        chunk.copy(partial, partialLength, at, at + take);
        partialLength += take;
        if (partialLength === TAR_BLOCK) {
          partialLength = 0;
          onHeader(partial);
        }
        return take;
      }
      case 'collect': {
        if (collecting === undefined) return 0;
        const take = Math.min(collecting.size - collecting.have, left);
        // Copied: the caller may use the chunk's memory again.
        collecting.parts.push(Buffer.from(chunk.subarray(at, at + take)));
        collecting.have += take;
        if (collecting.have === collecting.size) collected();
        return take;
      }
      case 'content': {
        const take = Math.min(remaining, left);
        remaining -= take;
        onContent(chunk.subarray(at, at + take));
        if (remaining === 0) contentEnd();
        return take;
      }
      case 'skip': {
        const take = Math.min(padding, left);
        padding -= take;
        if (padding === 0) state = 'header';
        return take;
      }
      case 'end':
        return left;
    }
  };

  return {
    push(chunk) {
      const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at < buffer.length; ) at += step(buffer, at);
    },
    finish() {
      if (state === 'end' || (state === 'header' && partialLength === 0)) return;
      // Docker's client leaves out what would fill the last block; nothing is lost.
      if (state === 'skip' && !inMember) return;
      throw new InvalidArchiveError(inMember ? 'the tar is cut off in the middle of a file' : 'the tar is cut off');
    },
  };
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < TAR_BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

function readHeader(block: Buffer): TarHeader {
  verifyChecksum(block);
  const magic = block.toString('latin1', 257, 265);
  const isUstar = magic === 'ustar\x0000';
  const isGnu = magic === 'ustar  \0';
  const isStar = isUstar && block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = isUstar ? cString(block, 345, isStar ? 131 : 155) : '';
  const name = cString(block, 0, 100);
  const size = number(block, 124, 12);
  if (size < 0) throw new InvalidArchiveError(`a negative size for ${name}`);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    type: String.fromCharCode(block[156] ?? 0),
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size,
    mtime: number(block, 136, 12),
    linkname: cString(block, 157, 100),
    ...(isUstar || isGnu
      ? {
          uname: cString(block, 265, 32),
          gname: cString(block, 297, 32),
          devmajor: number(block, 329, 8),
          devminor: number(block, 337, 8),
        }
      : {}),
  };
}

function verifyChecksum(block: Buffer): void {
  const said = number(block, 148, 8);
  if (said === sumOf(block, 0)) return;
  // Some old tars summed signed bytes.
  if (said !== sumOf(block, 128)) throw new InvalidArchiveError('not a tar: a header’s checksum is wrong');
}

/** The sum with the checksum's own field as blanks; bytes of `signedFrom` and more count as negative, if it is not 0. */
function sumOf(block: Buffer, signedFrom: number): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < TAR_BLOCK; i++) {
    if (i === 148) i = 156;
    const byte = block[i] ?? 0;
    sum += signedFrom > 0 && byte >= signedFrom ? byte - 256 : byte;
  }
  return sum;
}

function cString(block: Buffer, at: number, size: number): BytePath {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + size ? at + size : end);
}

/** An octal or base-256 number. */
function number(block: Buffer, at: number, size: number): number {
  const first = block[at] ?? 0;
  if (first & 0x80) {
    const negative = (first & 0x40) !== 0;
    let value = negative ? -1n : 0n;
    for (let i = 0; i < size; i++) {
      const byte = block[at + i] ?? 0;
      value = (value << 8n) | BigInt(i === 0 ? (negative ? byte | 0x80 : byte & 0x7f) : byte);
    }
    const result = Number(value);
    if (!Number.isSafeInteger(result)) throw new InvalidArchiveError('a number in a tar header is too large');
    return result;
  }
  let value = 0;
  let i = at;
  while (i < at + size && (block[i] === 0x20 || block[i] === 0)) i++;
  for (; i < at + size; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (block[i] === 0x20 || block[i] === 0) break;
    if (digit < 0 || digit > 7) throw new InvalidArchiveError('not a tar: a number in a header is not octal');
    value = value * 8 + digit;
  }
  return value;
}

/** PAX records in order: `LENGTH KEY=VALUE\n` (POSIX pax, extended header). */
function readRecords(content: Buffer): [BytePath, BytePath][] {
  const records: [BytePath, BytePath][] = [];
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const text = content.toString('latin1', at, space);
    const length = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
    const equals = content.indexOf(0x3d, space);
    const end = at + length;
    if (space < 0 || equals < 0 || equals >= end || end > content.length || content[end - 1] !== 0x0a) {
      throw new InvalidArchiveError('a PAX header cannot be read');
    }
    records.push([content.toString('latin1', space + 1, equals), content.toString('latin1', equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

function withRecords(header: TarHeader, records: ReadonlyMap<BytePath, BytePath>): TarHeader {
  let result: TarHeader = { ...header, records };
  for (const [key, value] of records) {
    // An empty value takes a record back.
    if (value === '') continue;
    switch (key) {
      case 'path':
        result = { ...result, name: value };
        break;
      case 'linkpath':
        result = { ...result, linkname: value };
        break;
      case 'uname':
        result = { ...result, uname: value };
        break;
      case 'gname':
        result = { ...result, gname: value };
        break;
      case 'uid':
      case 'gid':
      case 'size':
        result = { ...result, [key]: decimal(key, value) };
        break;
      case 'mtime':
        result = { ...result, ...parsePaxTime(value) };
        break;
    }
  }
  return result;
}

function decimal(key: string, value: string): number {
  const parsed = /^[0-9]+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(parsed)) throw new InvalidArchiveError(`a bad PAX record: ${key}=${value}`);
  return parsed;
}

/** The time of a PAX record, decimal seconds with a fraction: rounded down to nanoseconds. Throws `InvalidArchiveError`. */
export function parsePaxTime(text: string): { readonly mtime: number; readonly mtimeNanoseconds: number } {
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw new InvalidArchiveError(`a bad time in a PAX record: ${text}`);
  const [, sign, whole = '0', fraction = ''] = match;
  const seconds = Number(whole);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (!Number.isSafeInteger(seconds)) throw new InvalidArchiveError(`a time in a PAX record is too large: ${text}`);
  if (sign === '') return { mtime: seconds, mtimeNanoseconds: nanoseconds };
  return nanoseconds === 0
    ? { mtime: 0 - seconds, mtimeNanoseconds: 0 }
    : { mtime: -seconds - 1, mtimeNanoseconds: 1_000_000_000 - nanoseconds };
}
