/** Trees of files for tests: laid out on the disk, and described for comparison. */
import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { makeDevice, makeNode, setTimes } from '../../host/system/inode.ts';
import { readXattrs, setXattr } from '../../host/system/xattr.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { linkTarget } from './layer-changes.ts';
import { FileKind, kindOf, listStack, type OverlayStack } from './overlay-stack.ts';

/** One file, as the vectors write it (test/vectors/images/README.md, "Tree"). */
export interface FixtureFile {
  readonly type: 'dir' | 'file' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block';
  readonly mode?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds. */
  readonly mtime?: number;
  readonly mtimeNanoseconds?: number;
  readonly content?: string;
  readonly data?: string;
  readonly target?: string;
  readonly dev?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, string>>;
}

export type FixtureTree = Readonly<Record<string, FixtureFile>>;

/** Makes the files of a tree in a directory; all parents must be listed or there. */
export function layOut(root: string, tree: FixtureTree): void {
  const paths = Object.keys(tree).sort();
  for (const path of paths) if (tree[path]?.type !== 'hardlink') make(`${root}/${path}`, tree[path]);
  for (const path of paths) {
    if (tree[path]?.type === 'hardlink') linkSync(`${root}/${tree[path].target}`, `${root}/${path}`);
  }
  // Children before parents: making a file touches its directory.
  for (const path of paths.reverse()) {
    const { type, mtime = 0, mtimeNanoseconds = 0 } = tree[path] ?? { type: 'hardlink' };
    if (type === 'hardlink') continue;
    const time = BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNanoseconds);
    setTimes(`${root}/${path}`, time, time);
  }
}

const KINDS = { fifo: FileKind.fifo, char: FileKind.char, block: FileKind.block } as const;

function make(path: string, file: FixtureFile | undefined): void {
  if (file === undefined) return;
  const { type, mode = '0755', uid = 0, gid = 0, content = '', data, target = '', dev = [0, 0], xattrs = {} } = file;
  switch (type) {
    case 'dir':
      mkdirSync(path, { recursive: true });
      break;
    case 'file':
      writeFileSync(path, data === undefined ? content : Buffer.from(data, 'base64'));
      break;
    case 'symlink':
      symlinkSync(target, path);
      break;
    case 'fifo':
    case 'char':
    case 'block':
      makeNode(path, KINDS[type] | 0o600, makeDevice(...dev));
  }
  lchownSync(path, uid, gid);
  if (type !== 'symlink') chmodSync(path, Number.parseInt(mode, 8));
  for (const [name, value] of Object.entries(xattrs)) setXattr(path, name, Buffer.from(value, 'base64'));
}

/** What a file is, in one line per path; hard links say which is the first name. */
export function describeTree(stack: OverlayStack | string): Record<string, string> {
  const lines: Record<string, string> = {};
  const inodes = new Map<string, BytePath>();
  const walk = (at: OverlayStack, prefix: BytePath): void => {
    for (const [name, { path, status, stack: below }] of listStack(at)) {
      const full = `${prefix}${name}`;
      const kind = kindOf(status);
      const inode = `${status.inoHigh}:${status.inoLow}`;
      const first = kind !== FileKind.directory && status.nlink > 1 ? (inodes.get(inode) ?? full) : undefined;
      if (first !== undefined) inodes.set(inode, first);
      const xattrs = [...readXattrs(systemPath(path))]
        .filter(([key]) => !key.includes('.overlay.'))
        .map(([key, value]) => `${key}=${value.toString('hex')}`)
        .sort();
      lines[full] = [
        status.mode.toString(8),
        `${status.uid}:${status.gid}`,
        `${status.mtimeSeconds}.${status.mtimeNanoseconds}`,
        kind === FileKind.file ? hashOf(path) : '',
        kind === FileKind.symlink ? linkTarget(path) : '',
        kind === FileKind.char || kind === FileKind.block ? `${status.major},${status.minor}` : '',
        first === undefined || first === full ? '' : `= ${first}`,
        ...xattrs,
      ].join(' ');
      if (below.length > 0) walk(below, `${full}/`);
    }
  };
  walk(typeof stack === 'string' ? [toBytePath(stack)] : stack, '');
  return lines;
}

function hashOf(path: BytePath): string {
  return createHash('sha256')
    .update(readFileSync(systemPath(path)))
    .digest('hex')
    .slice(0, 16);
}
