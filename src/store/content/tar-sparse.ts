/** Sparse files as GNU tar stores them: only the parts that are not zero, and a map of where they belong (GNU tar manual, "Sparse Formats"). */
import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { InvalidArchiveError } from './store-error.ts';

/** Where the stored bytes belong. */
export interface SparseMap {
  /** Of the whole file, in bytes. */
  readonly size: number;
  /** In order, not overlapping. */
  readonly fragments: readonly { readonly offset: number; readonly length: number }[];
}

type Records = readonly (readonly [BytePath, BytePath])[];

/** Whether PAX records say that the member is a sparse file. */
export function isSparse(records: Records): boolean {
  return records.some(([key]) => /^GNU\.sparse\.(map|numblocks|offset|major|size|realsize)$/.test(key));
}

/** The map of an old GNU sparse member: its header and the extension blocks. Throws `InvalidArchiveError`. */
export function readOldSparseMap(blocks: readonly Buffer[]): SparseMap {
  const numbers: number[] = [];
  let size = 0;
  for (const [index, block] of blocks.entries()) {
    if (index === 0) size = octal(block, 483);
    const [start, count] = index === 0 ? [386, 4] : [0, 21];
    for (let i = 0; i < count; i++) {
      const at = start + i * 24;
      // The first empty place ends the list.
      if (block[at] === 0) break;
      numbers.push(octal(block, at), octal(block, at + 12));
    }
  }
  return makeMap(numbers, size);
}

/** What the records of versions 0.0 and 0.1 say, or of 1.0, whose map follows in the content. Throws `InvalidArchiveError`. */
export function readSparseRecords(records: Records): {
  readonly name: BytePath | undefined;
  readonly size: number;
  readonly map: SparseMap | undefined;
} {
  const last = new Map(records);
  const size = decimal(last.get('GNU.sparse.realsize') ?? last.get('GNU.sparse.size') ?? '0');
  const name = last.get('GNU.sparse.name');
  if (last.get('GNU.sparse.major') === '1') return { name, size, map: undefined };
  const list = last.get('GNU.sparse.map');
  const numbers =
    list !== undefined
      ? list.split(',').filter(Boolean).map(decimal)
      : records.filter(([key]) => /\.(offset|numbytes)$/.test(key)).map(([, value]) => decimal(value));
  return { name, size, map: makeMap(numbers, size) };
}

/** The map in front of the content (version 1.0), or undefined if `text` does not hold all of it yet. */
export function readSparseMapText(text: string, size: number): SparseMap | undefined {
  const lines = text.split('\n');
  const [count = ''] = lines;
  if (lines.length < 2) return undefined;
  const wanted = decimal(count) * 2;
  if (lines.length < wanted + 2) return undefined;
  return makeMap(lines.slice(1, wanted + 1).map(decimal), size);
}

function makeMap(numbers: readonly number[], size: number): SparseMap {
  if (numbers.length % 2 !== 0) throw new InvalidArchiveError('a bad map of a sparse file');
  const fragments: { readonly offset: number; readonly length: number }[] = [];
  let end = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const [offset = 0, length = 0] = [numbers[i], numbers[i + 1]];
    if (offset < end || offset + length > size) throw new InvalidArchiveError('a bad map of a sparse file');
    end = offset + length;
    if (length > 0) fragments.push({ offset, length });
  }
  return { size, fragments };
}

function octal(block: Buffer, at: number): number {
  const text = block.toString('latin1', at, at + 12).replace(/[\0 ]+$/, '');
  if ((block[at] ?? 0) & 0x80) return Number(BigInt(`0x${block.toString('hex', at + 1, at + 12)}`));
  if (!/^[0-7]*$/.test(text)) throw new InvalidArchiveError('a bad map of a sparse file');
  return Number.parseInt(text || '0', 8);
}

function decimal(text: string): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArchiveError(`a bad map of a sparse file: ${text}`);
  return value;
}
