import { chmodSync, lchownSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { makeDevice, makeNode, setTimes } from '../../src/host/system/inode.ts';
import { setXattr } from '../../src/host/system/xattr.ts';

/** A file of a tree as the vectors write it (`test/vectors/checksum/README.md`). */
interface VectorEntry {
  readonly path?: string;
  readonly pathHex?: string;
  readonly kind: 'file' | 'dir' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block' | 'socket';
  readonly mode?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly content?: {
    readonly text?: string;
    readonly base64?: string;
    readonly repeat?: string;
    readonly times?: number;
  };
  readonly target?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface VectorTree {
  readonly root: Omit<VectorEntry, 'path' | 'pathHex'>;
  readonly entries: readonly VectorEntry[];
}

const TYPE_BITS = { fifo: 0o010000, char: 0o020000, block: 0o060000, socket: 0o140000 } as const;

/** Makes a tree in an existing directory. Needs root for owners and devices. */
export function makeVectorTree(directory: string, tree: VectorTree): void {
  const paths = tree.entries.map(entry =>
    Buffer.concat([
      Buffer.from(`${directory}/`),
      entry.pathHex === undefined ? Buffer.from(entry.path ?? '') : Buffer.from(entry.pathHex, 'hex'),
    ]),
  );
  for (const [index, entry] of tree.entries.entries()) {
    const path = paths[index];
    if (path !== undefined) makeEntry(directory, path, entry);
  }
  // Directories get their times when nothing more is made in them.
  for (const [index, entry] of [...tree.entries.entries()].reverse()) {
    const path = paths[index];
    if (path !== undefined && entry.kind !== 'hardlink') finish(path, entry);
  }
  finish(Buffer.from(directory), tree.root);
}

function makeEntry(directory: string, path: Buffer, entry: VectorEntry): void {
  switch (entry.kind) {
    case 'file':
      writeFileSync(path, contentOf(entry));
      break;
    case 'dir':
      mkdirSync(path);
      break;
    case 'symlink':
      symlinkSync(entry.target ?? '', path);
      break;
    case 'hardlink':
      linkSync(`${directory}/${entry.target}`, path);
      break;
    default:
      makeNode(path, TYPE_BITS[entry.kind] | 0o600, makeDevice(entry.major ?? 0, entry.minor ?? 0));
  }
}

function finish(path: Buffer, entry: Omit<VectorEntry, 'path' | 'pathHex'>): void {
  lchownSync(path, entry.uid ?? 0, entry.gid ?? 0);
  if (entry.kind !== 'symlink') chmodSync(path, Number.parseInt(entry.mode ?? '0', 8));
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) setXattr(path, name, Buffer.from(value, 'base64'));
  const mtime = BigInt(entry.mtime ?? 0) * 1_000_000_000n;
  setTimes(path, mtime, mtime);
}

function contentOf({ content = {} }: VectorEntry): Buffer {
  if (content.base64 !== undefined) return Buffer.from(content.base64, 'base64');
  if (content.repeat !== undefined) return Buffer.from(content.repeat.repeat(content.times ?? 1));
  return Buffer.from(content.text ?? '');
}
