import { setImmediate } from 'node:timers/promises';
import { type BytePath, fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { cleanPath } from '../../wire/fsutil/go-path.ts';
import { PatternSyntaxError } from '../../wire/fsutil/path-match.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { ContentChecksumError } from './checksum-error.ts';
import { type FileRecords, type FileRecordsOptions, fileRecords } from './checksum-records.ts';
import { type ChecksumOptions, type Included, makesList, notFound, select } from './checksum-select.ts';
import { type FileNode, type FileTree, resolvePath, TooManyLinksError } from './file-tree.ts';

/** A file, link or directory header that a checksum is made of. */
export interface ChecksumEntry {
  /** Absolute, as the query names it. */
  readonly path: BytePath;
  readonly node: FileNode;
  /** Of header and content; not for a link that stands for what it points to. */
  readonly digest: Digest;
}

/** Content checksums of one tree, BuildKit's bit for bit. */
export interface ContentChecksums {
  readonly tree: FileTree;
  /** Digests of single files, for what copies them. */
  readonly records: FileRecords;
  /**
   * The checksum of a path; a relative one starts at the root.
   *
   * Throws ContentChecksumError when there is none, ChangedUnderBuildError when a file is not what it was when it was
   * listed, and the errors of `node:fs`.
   */
  checksum(path: string, options?: ChecksumOptions, signal?: AbortSignal): Promise<Digest>;
  /** The files that the same checksum is made of, in tree order. Throws the same errors. */
  entries(path: string, options?: ChecksumOptions, signal?: AbortSignal): Promise<readonly ChecksumEntry[]>;
}

export interface ContentChecksumsOptions extends FileRecordsOptions {
  /** Of a transfer: whether there was an earlier one, so that even an empty tree is a change. */
  readonly updates?: boolean;
}

/** The header of a transfer's root, which no sender ever sends. */
const NOTHING = digestOf('');
/** What a receiver sees of a transfer in which nothing came: its own directory. */
const FRESH_ROOT = digestOf('namemode493uid0gid0size0typeflag5linknameunamegnamedevmajor0devminor0');

/** The checksum of `/` in `scratch`; any other path is an error. Throws ContentChecksumError. */
export function scratchChecksum(path: string): Digest {
  if (path === '/') return NOTHING;
  throw new ContentChecksumError('not-found', `${path}: no such file or directory`);
}

/** Content checksums of a tree. Nothing is read before it is asked for. */
export function contentChecksums(tree: FileTree, options: ContentChecksumsOptions): ContentChecksums {
  const { view, updates = false } = options;
  const records = fileRecords(tree, options);
  const directories = new Map<FileNode, Digest>();
  /** Directories below which everything counts as known, as far as errors tell. */
  const scanned = new Set<FileNode>();
  let busySince = performance.now();

  function pause(signal: AbortSignal | undefined): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (performance.now() - busySince < 15) return undefined;
    return setImmediate().then(() => {
      busySince = performance.now();
    });
  }

  /** The digest of one record: of a file, link or directory header. */
  function recordDigest(node: FileNode): Digest {
    if (node.parent !== undefined || view === 'scan') return records.get(node);
    return updates || tree.children(node).length > 0 ? NOTHING : FRESH_ROOT;
  }

  function resolve(asked: BytePath, followLast: boolean): FileNode {
    const { node, obstacle } = resolvePath(tree, asked, followLast);
    if (view === 'scan') {
      if (obstacle !== undefined && !isScanned(obstacle.node)) {
        const root = fromBytePath(tree.location(tree.root));
        const message = `lstat ${root}/${fromBytePath(obstacle.path)}: not a directory`;
        throw new ContentChecksumError('not-a-directory', message);
      }
      if (node !== undefined) scanned.add(node.parent ?? node);
    }
    if (node === undefined) throw notFound(fromBytePath(asked));
    return node;
  }

  function isScanned(node: FileNode): boolean {
    for (let above: FileNode | undefined = node; above !== undefined; above = above.parent) {
      if (scanned.has(above)) return true;
    }
    return false;
  }

  /** All that the digest of a node is made of and that is not known yet. */
  async function below(node: FileNode, signal: AbortSignal | undefined): Promise<FileNode[]> {
    const found = [node];
    for (let index = 0; index < found.length; index++) {
      const entry = found[index];
      if (entry?.type !== 'dir' || directories.has(entry)) continue;
      await pause(signal);
      for (const child of tree.children(entry)) found.push(child);
    }
    return found;
  }

  async function nodeDigest(node: FileNode, signal: AbortSignal | undefined): Promise<Digest> {
    await records.ensure(await below(node, signal), signal);
    return node.type === 'dir' ? directoryDigest(node) : recordDigest(node);
  }

  function directoryDigest(node: FileNode): Digest {
    let digest = directories.get(node);
    if (digest === undefined) {
      let text = `\0${recordDigest(node)}`;
      for (const child of tree.children(node)) {
        text += `\0${child.name}${child.type === 'dir' ? directoryDigest(child) : recordDigest(child)}`;
        if (child.type === 'dir') text += repeated(child, `\0${child.name}`);
      }
      digest = digestOf(Buffer.from(text, 'latin1'));
      directories.set(node, digest);
    }
    return digest;
  }

  /** What BuildKit hashes a second time: it goes on behind a directory at its first name that begins with byte 0xff. */
  function repeated(node: FileNode, prefix: BytePath): BytePath {
    const children = tree.children(node);
    if (!children.at(-1)?.name.startsWith('\xff')) return '';
    let text = '';
    for (const child of children) {
      if (!child.name.startsWith('\xff')) continue;
      const path = `${prefix}\0${child.name}`;
      text += path + (child.type === 'dir' ? directoryDigest(child) + repeated(child, path) : recordDigest(child));
    }
    return text;
  }

  async function selected(path: string, query: ChecksumOptions, signal: AbortSignal | undefined) {
    if (view === 'scan') scanned.add(tree.root);
    const selection = await select(tree, cleanPath(`/${path}`), path.endsWith('/'), query, () => pause(signal));
    await records.ensure(
      selection.included.map(entry => entry.node),
      signal,
    );
    return selection;
  }

  async function listDigest(path: string, query: ChecksumOptions, signal: AbortSignal | undefined): Promise<Digest> {
    const { prefix, included } = await selected(path, query, signal);
    const digests: Digest[] = [];
    for (const entry of included) digests.push(await includedDigest(entry, signal));
    const [only] = included;
    if (only === undefined) return NOTHING;
    const first = digests[0];
    if (included.length === 1 && first !== undefined && isNamed(only.path, path)) return first;
    const text = included.map(
      (entry, index) => (entry.path.slice(prefix.length).replaceAll('/', '\0') || '\0') + digests[index],
    );
    return digestOf(Buffer.from(text.join(''), 'latin1'));
  }

  async function includedDigest(entry: Included, signal: AbortSignal | undefined): Promise<Digest> {
    if (!entry.follow || entry.node.type !== 'symlink') return recordDigest(entry.node);
    return nodeDigest(resolve(entry.path, true), signal);
  }

  async function allEntries(path: string, query: ChecksumOptions, signal: AbortSignal | undefined) {
    const found: ChecksumEntry[] = [];
    const add = (node: FileNode, at: BytePath): void => {
      found.push({ path: at === '' ? '/' : at, node, digest: recordDigest(node) });
    };
    const addAll = (node: FileNode, at: BytePath): void => {
      add(node, at);
      if (node.type === 'dir') for (const child of tree.children(node)) addAll(child, `${at}/${child.name}`);
    };
    const addResolved = async (asked: BytePath, followLast: boolean): Promise<void> => {
      const node = resolve(asked, followLast);
      await records.ensure(await below(node, signal), signal);
      addAll(node, asked === '/' ? '' : asked);
    };
    if (!makesList(query)) {
      await addResolved(toBytePath(cleanPath(`/${path}`)), query.followLinks ?? false);
      return found;
    }
    for (const entry of (await selected(path, query, signal)).included) {
      if (entry.follow && entry.node.type === 'symlink') await addResolved(entry.path, true);
      else add(entry.node, entry.path);
    }
    return found;
  }

  return {
    tree,
    records,
    checksum: (path, query = {}, signal) =>
      explained(async () => {
        if (makesList(query)) return listDigest(path, query, signal);
        return nodeDigest(resolve(toBytePath(cleanPath(`/${path}`)), query.followLinks ?? false), signal);
      }, signal),
    entries: (path, query = {}, signal) => explained(() => allEntries(path, query, signal), signal),
  };
}

/** Runs a query; what is wrong with its path becomes the checksum's error. */
async function explained<T>(run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof TooManyLinksError) throw new ContentChecksumError('too-many-links', cause.message, { cause });
    if (cause instanceof PatternSyntaxError) throw new ContentChecksumError('bad-pattern', cause.message, { cause });
    throw cause;
  }
}

/** Whether a path has the base name of the path that was asked for, the root's being `.` for both. */
function isNamed(path: BytePath, asked: string): boolean {
  const clean = cleanPath(`/${asked}`);
  return baseName(path) === baseName(toBytePath(clean === '/' ? '' : clean));
}

function baseName(path: BytePath): BytePath {
  return path === '' ? '.' : path.slice(path.lastIndexOf('/') + 1);
}
