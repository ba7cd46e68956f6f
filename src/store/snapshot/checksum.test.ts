import assert from 'node:assert/strict';
import { globSync, mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { makeVectorTree, type VectorTree } from '../../../test/support/vector-tree.ts';
import { fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { type ContentChecksums, contentChecksums, scratchChecksum } from './checksum.ts';
import { ContentChecksumError } from './checksum-error.ts';
import { headerText, xattrText } from './checksum-header.ts';
import type { ChecksumOptions } from './checksum-select.ts';
import { type FileNode, type FileTree, pathOf } from './file-tree.ts';
import { filteredTree } from './file-tree-context.ts';
import { directoryTree } from './file-tree-directory.ts';

interface Expectation {
  readonly digest?: string;
  readonly error?: { readonly kind: string; readonly message: string };
}

interface VectorView {
  readonly kind: 'scan' | 'transfer';
  readonly note?: string;
  readonly resetOwner?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly followPaths?: readonly string[];
  readonly linkMode?: string;
  readonly prior?: readonly unknown[];
  readonly arrives?: readonly string[];
  readonly records: readonly {
    readonly path?: string;
    readonly pathHex?: string;
    readonly type: string;
    readonly digest: string;
    readonly header?: string;
    readonly headerHex?: string;
  }[];
  readonly queries: readonly {
    readonly path: string;
    readonly options?: object;
    readonly expect: Expectation;
    readonly expectAfterFullScan?: Expectation;
  }[];
}

interface Vector extends VectorTree {
  readonly name: string;
  readonly views: readonly VectorView[];
}

const VECTORS = join(import.meta.dirname, '../../../test/vectors/checksum');
const vectors: readonly Vector[] = globSync(join(VECTORS, '*.json'))
  .sort()
  .map(file => JSON.parse(readFileSync(file, 'utf8')));

function open(directory: string, view: VectorView): { tree: FileTree; checksums: ContentChecksums } {
  const owner = view.resetOwner ? { owner: { uid: 0, gid: 0 } } : {};
  let tree: FileTree = directoryTree(directory, owner);
  if (view.linkMode !== undefined) tree = withLinkMode(tree, Number.parseInt(view.linkMode, 8));
  if (view.kind === 'transfer') {
    const filter = { includePatterns: view.include, excludePatterns: view.exclude, followPaths: view.followPaths };
    tree = filteredTree(tree, filter);
  }
  return { tree, checksums: contentChecksums(tree, { view: view.kind, updates: (view.prior?.length ?? 0) > 0 }) };
}

/** The tree of a sender that reports other permissions for links than Linux does. */
function withLinkMode(tree: FileTree, mode: number): FileTree {
  const links = new Map<FileNode, FileNode>();
  const originals = new Map<FileNode, FileNode>();
  const shown = (node: FileNode): FileNode => {
    if (node.type !== 'symlink') return node;
    const known = links.get(node) ?? Object.create(node, { mode: { value: mode } });
    links.set(node, known);
    originals.set(known, node);
    return known;
  };
  return {
    ...tree,
    children: node => tree.children(node).map(shown),
    child: (node, name) => {
      const found = tree.child(node, name);
      return found && shown(found);
    },
    readlink: node => tree.readlink(originals.get(node) ?? node),
  };
}

async function answer(checksums: ContentChecksums, path: string, options: object, root: string): Promise<Expectation> {
  try {
    return { digest: await checksums.checksum(path, options) };
  } catch (error) {
    if (!(error instanceof ContentChecksumError)) throw error;
    return { error: { kind: error.kind, message: error.message.replace(root, '<root>') } };
  }
}

let answered = 0;
const asked = vectors.flatMap(vector => vector.views).reduce((sum, view) => sum + view.queries.length, 0);

for (const vector of vectors) {
  test(`checksums of ${vector.name}`, { skip: process.getuid?.() !== 0 && 'makes devices and owners' }, async t => {
    using directory = mkdtempDisposableSync(join(tmpdir(), `outcrop-${basename(vector.name)}-`));
    makeVectorTree(directory.path, vector);
    for (const view of vector.views) {
      for (const { path, options = {}, expect, expectAfterFullScan = expect } of view.queries) {
        const { checksums } = open(directory.path, view);
        const what = `${view.kind} ${view.note ?? ''} ${path} ${JSON.stringify(options)}`;
        const { digest, error } = expect;
        assert.deepEqual(
          await answer(checksums, path, options, directory.path),
          digest === undefined ? { error } : { digest },
          what,
        );
        await checksums.checksum('/');
        const later = { digest: expectAfterFullScan.digest, error: expectAfterFullScan.error };
        assert.deepEqual(
          await answer(checksums, path, options, directory.path),
          later.digest === undefined ? { error: later.error } : { digest: later.digest },
          `${what}, all read`,
        );
        answered++;
      }
      await checkRecords(directory.path, view);
    }
    t.diagnostic(`${answered} of ${asked} queries`);
  });
}

async function checkRecords(directory: string, view: VectorView): Promise<void> {
  const { tree, checksums } = open(directory, view);
  const entries = new Map((await checksums.examine('/')).entries().map(entry => [entry.path, entry]));
  for (const record of view.records) {
    const path = record.pathHex ? Buffer.from(record.pathHex, 'hex').toString('latin1') : toBytePath(record.path ?? '');
    const entry = entries.get(path.replace(/(?<=.)\/$/, '') || '/');
    assert.ok(entry, `record ${record.path ?? record.pathHex}`);
    if (record.type === 'dir') {
      assert.equal(await checksums.checksum(fromBytePath(path)), record.digest, `directory ${path}`);
      continue;
    }
    assert.equal(entry.digest, record.digest, `record ${path}`);
    if (record.header === undefined && record.headerHex === undefined) continue;
    if (entry.node.parent === undefined && view.kind === 'transfer') continue;
    const header = record.headerHex
      ? Buffer.from(record.headerHex, 'hex').toString('latin1')
      : toBytePath(record.header ?? '');
    const link = entry.node.type === 'symlink' ? tree.readlink(entry.node) : '';
    assert.equal(
      headerText(entry.node, view.kind, link) + xattrText(tree.xattrs(entry.node)),
      header,
      `header ${path}`,
    );
  }
  if (view.prior === undefined) {
    const arrived = [...walkTree(tree)].map(([path, node]) => (node.type === 'dir' ? `${path}/` : path));
    if (view.kind === 'transfer') assert.deepEqual(arrived, (view.arrives ?? []).map(toBytePath));
    for (const [path, node] of walkTree(tree)) assert.equal(pathOf(node), path);
  }
}

test(`${asked} queries make the set`, () => {
  assert.equal(asked, 223);
  assert.equal(answered, process.getuid?.() === 0 ? asked : 0);
});

interface OpCase {
  readonly name: string;
  readonly expect: {
    readonly deps?: readonly {
      readonly content?: readonly (ChecksumOptions & { readonly path: string })[];
      readonly contentDigest?: string;
      readonly contentError?: string;
    }[];
  };
}

test('content digests of ops', { skip: process.getuid?.() !== 0 && 'makes devices and owners' }, async t => {
  const keys = join(import.meta.dirname, '../../../test/vectors/cache-keys');
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-sample-'));
  makeVectorTree(directory.path, JSON.parse(readFileSync(join(keys, 'sample-tree.json'), 'utf8')));
  let count = 0;
  for (const file of ['exec.json', 'file.json']) {
    const cases: readonly OpCase[] = JSON.parse(readFileSync(join(keys, file), 'utf8'));
    for (const { name, expect } of cases) {
      for (const { content, contentDigest, contentError } of expect.deps ?? []) {
        if (content === undefined || (contentDigest ?? contentError) === undefined) continue;
        const checksums = contentChecksums(directoryTree(directory.path), { view: 'scan' });
        const all = async (): Promise<string> => {
          const digests: string[] = [];
          for (const { path, ...options } of content.length === 0 ? [{ path: '/' }] : content) {
            digests.push(await checksums.checksum(path, options));
          }
          return digestOf(digests.join('\0'));
        };
        if (contentDigest === undefined)
          await assert.rejects(all(), error => String(error).endsWith(contentError ?? ''));
        else assert.equal(await all(), contentDigest, name);
        count++;
      }
    }
  }
  t.diagnostic(`${count} inputs of ops`);
});

test('scratch has a root and nothing else', () => {
  assert.equal(scratchChecksum('/'), digestOf(''));
  assert.throws(() => scratchChecksum('/a'), { kind: 'not-found', message: '/a: no such file or directory' });
});
