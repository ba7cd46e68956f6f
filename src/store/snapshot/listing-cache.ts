import { closeSync, constants, openSync } from 'node:fs';
import { hasStatus, packStatus, STATUS_WORDS, unpackStatus } from '../../host/system/stat.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { DirectoryDigests } from './checksum.ts';
import { isSettled } from './checksum-cache.ts';
import type { ContextRecords } from './checksum-records.ts';
import { type FileNode, pathOf } from './file-tree.ts';
import { CONTEXT_OWNER } from './file-tree-context.ts';
import { type FrozenTree, namesIn, nodeOf } from './file-tree-node.ts';
import { EntryFlag, type Listings, readListings, type StoredDirectory, writeListings } from './listing-file.ts';

/** Digests of the directories of a build context, by what they held. */
export interface ListingCache extends DirectoryDigests {
  /** Writes down what is new, if that can be. */
  save(): void;
}

export interface ListingCacheOptions {
  /** The whole context, of which a view is looked at. */
  readonly tree: FrozenTree;
  readonly records: ContextRecords;
  /** The file that listings are kept in: one for each view, since a filter is part of a digest. */
  readonly path: string;
}

/**
 * Remembers what the directories of a context held, with what lstat(2) said of each file, and the digests of the directories.
 * A directory that holds the same and in which no status has changed, nor in those below, has the same digest: that costs a
 * system call a file, and neither objects nor hashing. Should its files be wanted after all, the tree is given them as they
 * were found, so that all is still about one state of the context.
 *
 * What an equal ctime says, and from when on it can be trusted, is as in `RecordCache`.
 */
export function openListingCache({ tree, records, path }: ListingCacheOptions): ListingCache {
  let stored: Listings | undefined;
  /** By path: the directories that were found as they were, and those that were not. */
  const unchanged = new Map<BytePath, StoredDirectory | undefined>();
  const made = new Map<FileNode, Digest>();

  const old = (): Listings => {
    stored ??= readListings(path);
    return stored;
  };

  /** Looks at a directory and all that counted below it. */
  async function check(
    directory: BytePath,
    location: BytePath,
    pause: () => Promise<void> | undefined,
  ): Promise<StoredDirectory | undefined> {
    if (unchanged.has(directory)) return unchanged.get(directory);
    await pause();
    const { directories, statuses, flags } = old();
    const found = directories.get(directory);
    unchanged.set(directory, undefined);
    if (found === undefined) return undefined;
    const prefix = location.endsWith('/') ? location : `${location}/`;
    const names = namesIn(location);
    if (names.join('\0') !== found.names) return undefined;
    if (!haveStatuses(location, names, statuses, found.first)) return undefined;
    const below = directory === '' ? '' : `${directory}/`;
    for (const [index, name] of names.entries()) {
      if (((flags[found.first + index] ?? 0) & EntryFlag.entered) === 0) continue;
      if ((await check(below + name, prefix + name, pause)) === undefined) return undefined;
    }
    unchanged.set(directory, found);
    return found;
  }

  /** Whether a directory was like that itself. */
  function isLike(node: FileNode, { first }: StoredDirectory): boolean {
    const words = new Uint32Array(STATUS_WORDS);
    packStatus(node.status, words, 0);
    const start = (first - 1) * STATUS_WORDS;
    return words.every((word, index) => word === old().statuses[start + index]);
  }

  function noteRecord(node: FileNode, entry: number): void {
    const { flags, records: digests } = old();
    const flag = flags[entry] ?? 0;
    if ((flag & EntryFlag.record) === 0) return;
    records.note(node, digests.toString('hex', entry * 32, entry * 32 + 32), (flag & EntryFlag.xattrs) !== 0);
  }

  /** Gives the tree what a directory held, for the case that somebody asks. */
  function lend(node: FileNode, directory: StoredDirectory): void {
    if (tree.listed(node) !== undefined) return;
    const { statuses, flags } = old();
    tree.noteChildren(node, known => {
      const names = directory.count === 0 ? [] : directory.names.split('\0');
      let links = 0;
      return names.map((name, index) => {
        const entry = directory.first + index;
        const flag = flags[entry] ?? 0;
        const own = nodeOf(name, node, unpackStatus(statuses, entry * STATUS_WORDS), 0, CONTEXT_OWNER);
        const target = own.type === 'symlink' ? directory.links[links++] : undefined;
        // What somebody saw already stays; it was the same, or the directory would have changed.
        const child = known(name) ?? own;
        if (target !== undefined) tree.noteLink(child, target);
        noteRecord(child, entry);
        const below = (flag & EntryFlag.entered) === 0 ? undefined : unchanged.get(pathOf(child));
        if (below !== undefined) lend(child, below);
        return child;
      });
    });
  }

  return {
    async known(node, pause) {
      const directory = pathOf(node);
      const before = old().directories.get(directory);
      if (before === undefined || tree.listed(node) !== undefined || !isLike(node, before)) return undefined;
      const found = await check(directory, tree.location(node), pause);
      if (found?.digest === undefined) return undefined;
      noteRecord(node, found.first - 1);
      lend(node, found);
      return found.digest;
    },
    put: (node, digest) => {
      made.set(node, digest);
    },
    save: () => {
      if (made.size === 0) return;
      writeListings(path, collect(tree, records, made, unchanged, old()));
      made.clear();
      stored = undefined;
    },
  };
}

/** Whether the files of a directory are as the entries from `first` on say. */
function haveStatuses(location: BytePath, names: readonly BytePath[], statuses: Uint32Array, first: number): boolean {
  if (names.length === 0) return true;
  let directory: number;
  try {
    directory = openSync(systemPath(location), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return false;
  }
  try {
    return names.every((name, index) =>
      hasStatus(systemPath(name), statuses, (first + index) * STATUS_WORDS, directory),
    );
  } finally {
    closeSync(directory);
  }
}

/** The listings of all directories that are known, new ones from the tree, the others from earlier listings. */
function collect(
  tree: FrozenTree,
  records: ContextRecords,
  made: ReadonlyMap<FileNode, Digest>,
  unchanged: ReadonlyMap<BytePath, StoredDirectory | undefined>,
  old: Listings,
): Listings {
  const directories = new Map<BytePath, StoredDirectory>();
  const statuses = new GrowingWords();
  const digests: Buffer[] = [];
  const flags: number[] = [];

  const entry = (node: FileNode, entered: boolean): void => {
    packStatus(node.status, statuses.room(STATUS_WORDS), statuses.end - STATUS_WORDS);
    const record = records.known(node);
    digests.push(record === undefined ? Buffer.alloc(32) : Buffer.from(record.slice('sha256:'.length), 'hex'));
    flags.push(
      (record === undefined ? 0 : EntryFlag.record) |
        (tree.isPlain(node) ? 0 : EntryFlag.xattrs) |
        (entered ? EntryFlag.entered : 0),
    );
  };

  /** Takes a directory over as it is stored, with all that counted below it. */
  const keep = (path: BytePath, stored: StoredDirectory): void => {
    const { first, count } = stored;
    const from = (first - 1) * STATUS_WORDS;
    statuses
      .room((count + 1) * STATUS_WORDS)
      .set(old.statuses.subarray(from, from + (count + 1) * STATUS_WORDS), statuses.end - (count + 1) * STATUS_WORDS);
    digests.push(old.records.subarray((first - 1) * 32, (first + count) * 32));
    directories.set(path, { ...stored, first: flags.length + 1 });
    for (let index = first - 1; index < first + count; index++) flags.push(old.flags[index] ?? 0);
    const below = path === '' ? '' : `${path}/`;
    const names = count === 0 ? [] : stored.names.split('\0');
    for (const [index, name] of names.entries()) {
      const child = old.directories.get(below + name);
      if (child !== undefined && ((old.flags[first + index] ?? 0) & EntryFlag.entered) !== 0) keep(below + name, child);
    }
  };

  const visit = (node: FileNode): void => {
    const path = pathOf(node);
    const stored = unchanged.get(path);
    if (stored !== undefined) {
      keep(path, stored);
      return;
    }
    const children = tree.listed(node);
    if (children === undefined) return;
    const isEntered = (child: FileNode) =>
      child.type === 'dir' && (unchanged.get(pathOf(child)) !== undefined || tree.listed(child) !== undefined);
    const { device } = tree.root.status;
    // What is mounted below may be of a kind that has no ctime.
    if ([node, ...children].every(child => child.status.device === device && isSettled(child, tree.openedAt))) {
      directories.set(path, {
        names: children.map(({ name }) => name).join('\0'),
        links: children.filter(({ type }) => type === 'symlink').map(child => tree.readlink(child)),
        first: flags.length + 1,
        count: children.length,
        digest: made.get(node),
      });
      entry(node, true);
      for (const child of children) entry(child, isEntered(child));
    }
    for (const child of children) if (isEntered(child)) visit(child);
  };

  for (const node of made.keys()) if (node.parent === undefined || !made.has(node.parent)) visit(node);
  for (const [path, stored] of unchanged) if (stored !== undefined && !directories.has(path)) keep(path, stored);
  return { directories, statuses: statuses.words(), records: Buffer.concat(digests), flags: Uint8Array.from(flags) };
}

/** Numbers of 32 bits, more and more of them. */
class GrowingWords {
  end = 0;
  private all = new Uint32Array(1 << 14);

  /** Makes room for more at the end, and returns all. */
  room(count: number): Uint32Array {
    this.end += count;
    if (this.end > this.all.length) {
      const larger = new Uint32Array(Math.max(this.end, 2 * this.all.length));
      larger.set(this.all);
      this.all = larger;
    }
    return this.all;
  }

  words(): Uint32Array {
    return this.all.subarray(0, this.end);
  }
}
