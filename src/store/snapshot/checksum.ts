import { type BytePath, fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { cleanPath } from '../../wire/fsutil/go-path.ts';
import { PatternSyntaxError } from '../../wire/fsutil/path-match.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { breather } from './breather.ts';
import { ContentChecksumError } from './checksum-error.ts';
import { type FileRecords, type FileRecordsOptions, fileRecords } from './checksum-records.ts';
import { type ChecksumOptions, makesList, notFound, select } from './checksum-select.ts';
import { type FileNode, type FileTree, resolvePath, TooManyLinksError } from './file-tree.ts';

/** A file, link or directory header that a checksum is made of. */
export interface ChecksumEntry {
  /** Absolute, as the query names it. */
  readonly path: BytePath;
  readonly node: FileNode;
  /** Of header and content; not for a link that stands for what it points to. */
  readonly digest: Digest;
}

/** A checksum with its reasons. */
interface Checksum {
  readonly digest: Digest;
  /** The files that it is made of, in tree order; none if the digest was kept from an earlier time, which told them. */
  entries(): readonly ChecksumEntry[];
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
  /** The same with its reasons. Throws the same errors. */
  examine(path: string, options?: ChecksumOptions, signal?: AbortSignal): Promise<Checksum>;
}

export interface ContentChecksumsOptions extends FileRecordsOptions {
  /** Of a transfer: whether there was an earlier one, so that even an empty tree is a change. */
  readonly updates?: boolean;
  /** Digests of the files, if other views of the same tree know some already. */
  readonly records?: FileRecords;
  readonly directories?: DirectoryDigests;
}

/** Digests of directories with all below them, from earlier times. */
export interface DirectoryDigests {
  /** The digest of a directory in which nothing has changed. Looks at all that lies below; `pause` lets others run. */
  known(node: FileNode, pause: () => Promise<void> | undefined): Promise<Digest | undefined>;
  /** Takes one that was made anew. */
  put(node: FileNode, digest: Digest): void;
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
  const { view, updates = false, records = fileRecords(tree, options), directories: earlier } = options;
  const directories = new Map<FileNode, Digest>();
  /** Directories below which everything counts as known, as far as errors tell. */
  const scanned = new Set<FileNode>();
  const pause = breather();

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
      const known = await earlier?.known(entry, () => pause(signal));
      if (known !== undefined) {
        directories.set(entry, known);
        continue;
      }
      for (const child of tree.children(entry)) found.push(child);
    }
    return found;
  }

  /** The digest of a node and all below it. */
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
      earlier?.put(node, digest);
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

  async function examinePath(asked: BytePath, followLast: boolean, signal: AbortSignal | undefined): Promise<Checksum> {
    const node = resolve(asked, followLast);
    const digest = await nodeDigest(node, signal);
    return { digest, entries: () => entriesBelow(node, asked === '/' ? '' : asked) };
  }

  async function examineList(path: string, query: ChecksumOptions, signal: AbortSignal | undefined): Promise<Checksum> {
    if (view === 'scan') scanned.add(tree.root);
    const pausing = () => pause(signal);
    const { prefix, included } = await select(tree, cleanPath(`/${path}`), path.endsWith('/'), query, pausing);
    const nodes = included.map(entry => entry.node);
    await records.ensure(nodes, signal);
    const parts: { readonly path: BytePath; readonly digest: Digest; entries(): ChecksumEntry[] }[] = [];
    for (const { path: at, node, follow } of included) {
      const followed = follow && node.type === 'symlink' ? resolve(at, true) : undefined;
      const digest = followed === undefined ? recordDigest(node) : await nodeDigest(followed, signal);
      const entries = () => (followed === undefined ? [entryOf(node, at)] : entriesBelow(followed, at));
      parts.push({ path: at, digest, entries });
    }
    const [only, ...others] = parts;
    const isAlone = only !== undefined && others.length === 0 && isNamed(only.path, path);
    const text = parts.map(part => (part.path.slice(prefix.length).replaceAll('/', '\0') || '\0') + part.digest);
    return {
      digest: isAlone ? only.digest : digestOf(Buffer.from(text.join(''), 'latin1')),
      entries: () => parts.flatMap(part => part.entries()),
    };
  }

  function entryOf(node: FileNode, at: BytePath): ChecksumEntry {
    return { path: at === '' ? '/' : at, node, digest: recordDigest(node) };
  }

  function entriesBelow(top: FileNode, path: BytePath): ChecksumEntry[] {
    const found: ChecksumEntry[] = [];
    const visit = (node: FileNode, at: BytePath): void => {
      found.push(entryOf(node, at));
      if (node.type === 'dir') for (const child of tree.children(node)) visit(child, `${at}/${child.name}`);
    };
    visit(top, path);
    return found;
  }

  function examine(path: string, query: ChecksumOptions = {}, signal?: AbortSignal): Promise<Checksum> {
    return explained(async () => {
      if (makesList(query)) return examineList(path, query, signal);
      return examinePath(toBytePath(cleanPath(`/${path}`)), query.followLinks ?? false, signal);
    }, signal);
  }

  return {
    tree,
    records,
    examine,
    checksum: async (path, query, signal) => (await examine(path, query, signal)).digest,
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
