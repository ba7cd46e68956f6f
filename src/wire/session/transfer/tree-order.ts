import { type BytePath, fromBytePath } from '../../fsutil/byte-path.ts';
import { TransferError } from './transfer-error.ts';

/** Which of two paths comes first in tree order, where `/` sorts before every other byte: negative, 0 or positive. */
export function comparePaths(a: BytePath, b: BytePath): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (left === right) continue;
    if (left === SLASH) return -1;
    if (right === SLASH) return 1;
    return left - right;
  }
  return a.length - b.length;
}

const SLASH = 0x2f;

/** Judges a list of files as it comes in. */
export interface OrderCheck {
  /**
   * Takes the next path. Throws TransferError unless it is clean, stays below the root, comes after those before it, and lies
   * in a directory that was listed.
   */
  accept(path: BytePath, isDirectory: boolean): void;
}

/** A check for one list, as fsutil makes it. */
export function checkOrder(): OrderCheck {
  /** The directories that the last path lies in, and the last name seen in each. */
  const parents: { readonly prefix: BytePath; last: BytePath }[] = [{ prefix: '', last: '' }];
  return {
    accept(path, isDirectory) {
      const shown = fromBytePath(path);
      if (path.startsWith('/')) throw new TransferError(`absolute path ${shown}: invalid argument`);
      const names = path.split('/');
      if (names.includes('..')) throw new TransferError(`escape check ${shown}: invalid argument`);
      if (names.includes('') || names.includes('.') || path.includes('\0'))
        throw new TransferError(`unclean path ${shown}: invalid argument`);
      const name = names.at(-1) ?? '';
      const prefix = path.slice(0, path.length - name.length);
      while (parents.length > 1 && !prefix.startsWith(parents.at(-1)?.prefix ?? '')) parents.pop();
      const parent = parents.at(-1);
      if (parent === undefined || parent.prefix !== prefix || parent.last >= name)
        throw new TransferError(
          `changes out of order: ${JSON.stringify(shown)} ${JSON.stringify(fromBytePath(`${parent?.prefix}${parent?.last}`))}`,
        );
      parent.last = name;
      if (isDirectory) parents.push({ prefix: `${path}/`, last: '' });
    },
  };
}
