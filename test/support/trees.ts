import { chmodSync, lchownSync, linkSync, lutimesSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDevice, makeNode } from '../../src/host/system/inode.ts';
import { setXattr } from '../../src/host/system/xattr.ts';
import { encodeTarHeader, roundUp, TAR_END, TarType } from '../../src/store/content/tar-header.ts';
import { toBytePath } from '../../src/wire/fsutil/byte-path.ts';
import { digestOf, hexOf } from '../../src/wire/oci/digest.ts';

/** A file of a tree in the vectors. */
interface TreeNode {
  readonly type: 'file' | 'dir' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block';
  readonly mode?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number | 'now';
  readonly content?: string;
  readonly data?: string;
  readonly target?: string;
  readonly dev?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, string>>;
}

export type Tree = Readonly<Record<string, TreeNode>>;

const FORMAT = { fifo: 0o010000, char: 0o020000, block: 0o060000 } as const;

/** Lays a tree out on disk with exactly its modes, owners and times. */
export function layOut(root: string, tree: Tree): void {
  mkdirSync(root, { recursive: true });
  const paths = Object.keys(tree).sort();
  for (const path of paths) {
    const node = tree[path];
    if (node && node.type !== 'hardlink') makeFile(join(root, path), node);
  }
  for (const path of paths) {
    const node = tree[path];
    if (node?.type === 'hardlink') linkSync(join(root, node.target ?? ''), join(root, path));
  }
  for (const path of paths.reverse()) {
    const node = tree[path];
    if (node && node.type !== 'hardlink') finish(join(root, path), node);
  }
}

function makeFile(path: string, node: TreeNode): void {
  switch (node.type) {
    case 'dir':
      mkdirSync(path, { recursive: true });
      break;
    case 'symlink':
      symlinkSync(node.target ?? '', path);
      break;
    case 'fifo':
    case 'char':
    case 'block':
      makeNode(path, FORMAT[node.type] | 0o600, node.dev ? makeDevice(...node.dev) : 0n);
      break;
    default:
      writeFileSync(path, contentOf(node));
  }
}

function finish(path: string, node: TreeNode): void {
  lchownSync(path, node.uid ?? 0, node.gid ?? 0);
  if (node.type !== 'symlink') chmodSync(path, modeOf(node));
  for (const [name, value] of Object.entries(node.xattrs ?? {})) setXattr(path, name, Buffer.from(value, 'base64'));
  if (typeof node.mtime === 'number') lutimesSync(path, node.mtime, node.mtime);
}

function contentOf(node: TreeNode): Buffer {
  return node.data === undefined ? Buffer.from(node.content ?? '') : Buffer.from(node.data, 'base64');
}

function modeOf(node: TreeNode): number {
  return Number.parseInt(node.mode ?? (node.type === 'dir' ? '755' : '644'), 8);
}

const TYPES = {
  file: TarType.file,
  dir: TarType.directory,
  symlink: TarType.symlink,
  hardlink: TarType.link,
  fifo: TarType.fifo,
  char: TarType.char,
  block: TarType.block,
} as const;

/** A tree as a layer's tar. */
function layerTar(tree: Tree): Buffer {
  const paths = Object.keys(tree).sort(
    (a, b) => Number(tree[a]?.type === 'hardlink') - Number(tree[b]?.type === 'hardlink') || (a < b ? -1 : 1),
  );
  const parts: Uint8Array[] = [];
  for (const path of paths) {
    const own = tree[path];
    if (!own) continue;
    // A link's header says again what its file is like.
    const node = own.type === 'hardlink' ? { ...tree[own.target ?? ''], ...own } : own;
    const content = node.type === 'file' ? contentOf(node) : Buffer.of();
    const records = new Map(
      Object.entries(node.xattrs ?? {}).map(([name, value]) => [
        `SCHILY.xattr.${name}`,
        Buffer.from(value, 'base64').toString('latin1'),
      ]),
    );
    const header = encodeTarHeader({
      name: toBytePath(node.type === 'dir' ? `${path}/` : path),
      type: TYPES[node.type],
      mode: modeOf(node),
      uid: node.uid ?? 0,
      gid: node.gid ?? 0,
      size: content.length,
      mtime: typeof node.mtime === 'number' ? node.mtime : 0,
      ...(node.target === undefined ? {} : { linkname: toBytePath(node.target) }),
      ...(node.dev ? { devmajor: node.dev[0], devminor: node.dev[1] } : {}),
      ...(records.size > 0 ? { records } : {}),
    });
    parts.push(header, content, new Uint8Array(roundUp(content.length) - content.length));
  }
  return Buffer.concat([...parts, TAR_END]);
}

/** Writes an OCI layout with one image of one layer, tag `latest`. */
export function writeImageLayout(dir: string, tree: Tree, config: Readonly<Record<string, unknown>> = {}): void {
  const blobs = join(dir, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    writeFileSync(join(blobs, hexOf(digest)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const layer = put('application/vnd.oci.image.layer.v1.tar', layerTar(tree));
  const imageConfig = put(
    'application/vnd.oci.image.config.v1+json',
    json({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] }, ...config }),
  );
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config: imageConfig, layers: [layer] }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  writeFileSync(join(dir, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}
