import { type BytePath, fromBytePath } from '../../fsutil/byte-path.ts';
import { type FileStat, hasContents, typeOfMode } from './file-stat.ts';
import { decodePacket, encodePacket, encodeStat, type Packet } from './packet.ts';
import type { PacketStream } from './packet-stream.ts';
import { TransferError } from './transfer-error.ts';
import { checkOrder, comparePaths } from './tree-order.ts';

/**
 * Where a tree is written to. Calls come in tree order, but for the contents of files. Parents are there when their children
 * come, and are directories.
 */
export interface TreeTarget {
  /**
   * The files that are there already, in tree order, in the same terms as those that come. It is read while the tree is
   * written, never behind what was written.
   */
  existing(): Iterable<FileStat>;
  /** Removes what is there, with all that is below it. */
  remove(path: BytePath): void;
  /**
   * Makes a file in place of what is there. A directory stays if there is one. For a regular file without a link name `write`
   * and `close` follow, for files one after the other or not.
   */
  create(stat: FileStat): void;
  /** Appends to a regular file that was created. */
  write(stat: FileStat, data: Uint8Array): void;
  /** The contents of a file are complete. */
  close(stat: FileStat): void;
  /** All is written; `directories` are those that came, each with the times that it should have. */
  finish(directories: readonly FileStat[]): void;
  /** Writes down the list of a transfer of metadata only, in the root of the tree. */
  writeMetadata(name: BytePath, records: readonly Uint8Array[]): void;
}

/** How a tree is received. */
export interface ReceiveOptions {
  /** What counts as a change: other metadata, or `none`: everything is. */
  readonly differ?: 'metadata' | 'none';
  /** Nothing that is there is looked at or removed. */
  readonly merge?: boolean;
  /** Write only the files that it chooses, and the list of all others. */
  readonly metadataOnly?: (stat: FileStat) => boolean;
  /** Told of all bytes that came so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** Where the list of a transfer of metadata only is. */
const METADATA_NAME = '.fsutil-metadata';

/**
 * Receives a tree (fsutil's protocol), asking for the contents of those files that are new or have changed. Rejects with
 * TransferError when the sender gives up or breaks the protocol, and with what writing throws; the sender is told.
 */
export async function receiveTree(
  stream: PacketStream,
  target: TreeTarget,
  signal: AbortSignal,
  options: ReceiveOptions = {},
): Promise<void> {
  const { metadataOnly, onProgress } = options;
  const order = checkOrder();
  const changes = walkChanges(target, options);
  /** Files that others may be links to. */
  const files = new Set<BytePath>();
  const wanted = new Map<number, FileStat>();
  const directories: FileStat[] = [];
  const records: Uint8Array[] = [];
  /** Directories that are written only if something in them is. */
  let held: FileStat[] = [];
  let nextId = 0;
  let isListed = false;
  let progress = 0;

  const send = (packet: Packet): Promise<void> => stream.send(encodePacket(packet));

  async function take(stat: FileStat, id: number): Promise<void> {
    if (typeOfMode(stat.mode) === 'dir') directories.push(stat);
    if (!changes.apply(stat)) return;
    if (!hasContents(stat.mode) || stat.linkname !== '') return;
    wanted.set(id, stat);
    await send({ type: 'request', id });
  }

  async function listed(stat: FileStat): Promise<void> {
    if (metadataOnly !== undefined && stat.path === METADATA_NAME) return;
    const id = nextId++;
    const type = typeOfMode(stat.mode);
    order.accept(stat.path, type === 'dir');
    if (type !== 'dir' && type !== 'symlink') {
      if (stat.linkname === '') files.add(stat.path);
      else if (!files.has(stat.linkname)) throw badLink(stat);
    }
    if (metadataOnly === undefined) return take(stat, id);
    records.push(lengthPrefixed(encodeStat(stat)));
    held = held.filter(directory => stat.path.startsWith(`${directory.path}/`));
    if (!metadataOnly(stat)) {
      if (type === 'dir') held.push(stat);
      return;
    }
    for (const directory of held.splice(0)) await take(directory, -1);
    await take(stat, id);
  }

  async function finishIfComplete(): Promise<void> {
    if (!isListed || wanted.size > 0) return;
    if (metadataOnly !== undefined) target.writeMetadata(METADATA_NAME, records);
    target.finish(directories);
    await send({ type: 'finish' });
  }

  async function run(): Promise<void> {
    for await (const bytes of stream.incoming) {
      signal.throwIfAborted();
      progress += bytes.length;
      onProgress?.(progress);
      const packet = decodePacket(bytes);
      switch (packet.type) {
        case 'stat':
          await listed(packet.stat);
          break;
        case 'end':
          if (isListed) throw new TransferError('the list of files ended twice');
          isListed = true;
          changes.end();
          await finishIfComplete();
          break;
        case 'data': {
          const stat = wanted.get(packet.id);
          if (stat === undefined) throw new TransferError(`invalid file request ${packet.id}`);
          if (packet.data.length > 0) target.write(stat, packet.data);
          else {
            wanted.delete(packet.id);
            target.close(stat);
            await finishIfComplete();
          }
          break;
        }
        case 'finish':
          if (!isListed || wanted.size > 0)
            throw new TransferError('the sender ended the transfer before it was complete');
          return;
        case 'error':
          throw new TransferError(`error from sender: ${packet.message}`);
        default:
          throw new TransferError(`unexpected packet from sender: ${packet.type}`);
      }
    }
    throw new TransferError('the sender ended the transfer before it was complete');
  }

  try {
    await run();
  } catch (error) {
    void send({ type: 'error', message: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function badLink({ path, linkname }: FileStat): TransferError {
  return new TransferError(
    `invalid link ${fromBytePath(path)} to unknown path: ${JSON.stringify(fromBytePath(linkname))}`,
  );
}

function lengthPrefixed(bytes: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(4 + bytes.length);
  record.writeUInt32LE(bytes.length, 0);
  record.set(bytes, 4);
  return record;
}

interface ChangeWalk {
  /** Writes a file that came unless it is there as it came; returns whether it was written. */
  apply(stat: FileStat): boolean;
  /** Removes what is there and did not come. */
  end(): void;
}

/** Walks what is there beside what comes; both are in tree order. */
function walkChanges(target: TreeTarget, { differ = 'metadata', merge = false }: ReceiveOptions): ChangeWalk {
  const existing = merge ? noFiles() : target.existing()[Symbol.iterator]();
  let next = existing.next();
  /** What was removed, with a final slash: what is below it is gone too. */
  let removed: BytePath | undefined;

  function remove(stat: FileStat): void {
    if (removed === undefined || !stat.path.startsWith(removed)) {
      target.remove(stat.path);
      removed = `${stat.path}/`;
    }
    next = existing.next();
  }

  return {
    apply(stat) {
      while (!next.done && comparePaths(next.value.path, stat.path) < 0) remove(next.value);
      const old = !next.done && next.value.path === stat.path ? next.value : undefined;
      if (old !== undefined) {
        const isSame = differ === 'metadata' && sameMetadata(old, stat);
        if (!isSame) target.create(stat);
        // What is below a directory that is none any more went with it.
        if (typeOfMode(old.mode) === 'dir' && typeOfMode(stat.mode) !== 'dir') removed = `${stat.path}/`;
        next = existing.next();
        return !isSame;
      }
      target.create(stat);
      return true;
    },
    end() {
      while (!next.done) remove(next.value);
    },
  };
}

function* noFiles(): Generator<FileStat, undefined> {}

function sameMetadata(a: FileStat, b: FileStat): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.devmajor === b.devmajor &&
    a.devminor === b.devminor &&
    a.linkname === b.linkname &&
    (typeOfMode(a.mode) === 'dir' || (a.size === b.size && a.modTime === b.modTime))
  );
}
