/** Finds what COPY and ADD name, and hashes it. */
import { posix } from 'node:path';
import type { FileRecords } from '../../store/snapshot/checksum-records.ts';
import { type FileNode, type FileTree, pathOf, resolvePath } from '../../store/snapshot/file-tree.ts';
import type { CopySource } from '../../store/snapshot/file-tree-copy.ts';
import { type BytePath, fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { compilePathPattern } from '../../wire/fsutil/path-match.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { LegacyBuildError } from './error.ts';
import { joinedHash } from './file-hash.ts';

/** Files that are copied from. */
export interface SourceFiles {
  readonly tree: FileTree;
  readonly records: FileRecords;
  /** What copying compares with: a context may change, layers do not. */
  readonly copy: CopySource;
  readonly isContext: boolean;
}

/** One thing to copy. */
export interface FoundSource {
  /** Its path as it was named, which gives the copy its name. */
  readonly path: string;
  /** Links on the way, the last one too, were followed. */
  readonly node: FileNode;
  /** Its part of the key. */
  readonly hash: string;
  readonly files: SourceFiles;
  /** Whether ADD leaves it packed: a download. */
  readonly isDownload: boolean;
}

/**
 * What a path of COPY or ADD stands for, with its hash.
 * @throws LegacyBuildError and the errors of reading files
 */
export async function findSources(
  files: SourceFiles,
  written: string,
  signal: AbortSignal | undefined,
): Promise<FoundSource[]> {
  const path = written.replace(/^\//, '').replace(/^\.\//, '');
  const clean = posix.normalize(path);
  if (clean === '..' || clean.startsWith('../')) {
    throw new LegacyBuildError(`forbidden path outside the build context: ${path} ()`);
  }
  if (!hasWildcard(path)) return [await findSource(files, path, signal)];
  const matches = compilePathPattern(path);
  const found: FoundSource[] = [];
  for (const [place] of walkTree(files.tree)) {
    const name = fromBytePath(place);
    if (name !== '' && matches(name)) found.push(await findSource(files, name, signal));
  }
  return found;
}

/** The part of a key that several sources make together. */
export function sourcesHash(sources: readonly { readonly hash: string }[]): string {
  const [first] = sources;
  if (first !== undefined && sources.length === 1) return first.hash;
  return joinedHash(
    'multi',
    sources.map(({ hash }) => hash),
  );
}

function hasWildcard(path: string): boolean {
  return /^(?:[^\\*?[]|\\.)*[*?[]/s.test(path);
}

async function findSource(files: SourceFiles, path: string, signal: AbortSignal | undefined): Promise<FoundSource> {
  const { node } = resolvePath(files.tree, toBytePath(path), true);
  if (node === undefined) {
    const reason = `stat ${path}: file does not exist`;
    throw new LegacyBuildError(
      files.isContext ? `file not found in build context or excluded by .dockerignore: ${reason}` : reason,
    );
  }
  const hash = node.type === 'dir' ? await directoryHash(files, node, signal) : await fileHash(files, node, signal);
  return { path, node, hash, files, isDownload: false };
}

async function fileHash({ records }: SourceFiles, node: FileNode, signal: AbortSignal | undefined): Promise<string> {
  await records.ensure([node], signal);
  return `file:${hexOf(records.get(node))}`;
}

/** Of all below a directory and of itself, in the order of their hashes. */
async function directoryHash(
  { tree, records }: SourceFiles,
  top: FileNode,
  signal: AbortSignal | undefined,
): Promise<string> {
  const nodes: FileNode[] = [];
  const broken: BytePath[] = [];
  const visit = (node: FileNode) => {
    signal?.throwIfAborted();
    // A link stands for what it leads to, and one that leads nowhere for its target's path.
    const target = node.type === 'symlink' ? resolvePath(tree, pathOf(node), true) : { node, path: '' };
    if (target.node === undefined) broken.push(target.path.slice(1));
    else if (target.node.parent !== undefined) nodes.push(target.node);
    if (node.type === 'dir') for (const child of tree.children(node)) visit(child);
  };
  visit(top);
  await records.ensure(nodes, signal);
  const hashes = [...nodes.map(node => hexOf(records.get(node))), ...broken.map(fromBytePath)];
  return joinedHash('dir', hashes.sort());
}
