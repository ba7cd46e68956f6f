import type { BytePath } from '../../fsutil/byte-path.ts';
import { type ReadableTree, type TreeEntry, walkTree } from '../../fsutil/tree.ts';
import { type FileStat, hasContents, toGoMode } from './file-stat.ts';
import { decodePacket, encodePacket, type Packet } from './packet.ts';
import type { PacketStream } from './packet-stream.ts';
import { TransferError } from './transfer-error.ts';

/** What a tree's files are and hold, beside their names and links. */
export interface FileAccess<E extends TreeEntry> {
  attributes(entry: E): FileAttributes;
  /** The contents of a regular file. One that cannot be opened any more is sent empty. */
  read(entry: E): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** What stat(2) says of a file, as it is to be sent. */
interface FileAttributes {
  /** `st_mode`, with the type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes. */
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  /** Of devices. */
  readonly major: number;
  readonly minor: number;
  /** What the names of one file have in common; undefined for a file with one name. */
  readonly inode: string | undefined;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** How a tree is sent. */
export interface SendOptions {
  /** Told of all bytes that were sent so far. */
  readonly onProgress?: (bytes: number) => void;
}

const AT_ONCE = 4;
/** Of contents, in one packet. Go's programs send 32 KiB; more costs less, and 4 MiB is what receivers take. */
const CHUNK = 128 * 1024;
const S_IFMT = 0o170000;
const S_IFSOCK = 0o140000;

/**
 * Sends the list of a tree's files, and the contents of those that the receiver asks for, until it has all it wants
 * (fsutil's protocol). Rejects with TransferError when the receiver gives up or asks for what is not there, and with what
 * reading throws; the receiver is told.
 */
export async function sendTree<E extends TreeEntry>(
  stream: PacketStream,
  tree: ReadableTree<E>,
  access: FileAccess<E>,
  signal: AbortSignal,
  options: SendOptions = {},
): Promise<void> {
  const offered = new Map<number, E>();
  const waiting: { readonly id: number; readonly entry: E }[] = [];
  let running = 0;
  let progress = 0;
  let isFinished = false;
  const failure = Promise.withResolvers<never>();
  // Awaited at the end, which may come after it failed.
  failure.promise.catch(() => {});

  const send = (packet: Packet): Promise<void> => {
    const bytes = encodePacket(packet);
    if (packet.type === 'stat' || packet.type === 'data') {
      progress += bytes.length;
      options.onProgress?.(progress);
    }
    return stream.send(bytes);
  };

  async function sendList(): Promise<void> {
    let id = 0;
    for (const [path, entry] of walkTree(tree)) {
      if (isFinished) return;
      signal.throwIfAborted();
      const stat = statOf(path, entry);
      if (hasContents(stat.mode) && stat.linkname === '') offered.set(id, entry);
      id++;
      await send({ type: 'stat', stat });
    }
    await send({ type: 'end' });
  }

  const firstNames = new Map<string, BytePath>();
  function statOf(path: BytePath, entry: E): FileStat {
    const { mode, uid, gid, size, mtime, major, minor, inode, xattrs } = access.attributes(entry);
    let linkname = entry.type === 'symlink' ? tree.readlink(entry) : '';
    if (inode !== undefined && entry.type !== 'dir' && entry.type !== 'symlink') {
      linkname = firstNames.get(inode) ?? '';
      if (linkname === '') firstNames.set(inode, path);
    }
    return {
      path,
      mode: toGoMode((mode & S_IFMT) === S_IFSOCK ? mode & ~S_IFMT : mode),
      uid,
      gid,
      size: entry.type === 'dir' ? 0 : size,
      modTime: mtime,
      linkname,
      devmajor: major,
      devminor: minor,
      xattrs,
    };
  }

  async function sendFile(id: number, entry: E): Promise<void> {
    for await (const bytes of readable(access.read(entry))) {
      for (let at = 0; at < bytes.length; at += CHUNK) {
        signal.throwIfAborted();
        const data = bytes.subarray(at, at + CHUNK);
        await send({ type: 'data', id, data });
      }
    }
    await send({ type: 'data', id, data: noData });
  }

  function serveNext(): void {
    const next = waiting.shift();
    if (next === undefined) return;
    running++;
    sendFile(next.id, next.entry).then(() => {
      running--;
      serveNext();
    }, failure.reject);
  }

  async function serve(): Promise<void> {
    for await (const bytes of stream.incoming) {
      const packet = decodePacket(bytes);
      switch (packet.type) {
        case 'request': {
          const entry = offered.get(packet.id);
          if (entry === undefined) throw new TransferError(`invalid file id ${packet.id}`);
          offered.delete(packet.id);
          waiting.push({ id: packet.id, entry });
          if (running < AT_ONCE) serveNext();
          break;
        }
        case 'finish':
          isFinished = true;
          await send({ type: 'finish' });
          return;
        case 'error':
          throw new TransferError(`error from receiver: ${packet.message}`);
        default:
          throw new TransferError(`unexpected packet from receiver: ${packet.type}`);
      }
    }
    throw new TransferError('the receiver ended the transfer before it was complete');
  }

  const list = sendList();
  list.catch(failure.reject);
  const abort = (): void => failure.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([serve(), failure.promise]);
    await Promise.race([list, failure.promise]);
  } catch (error) {
    isFinished = true;
    void send({ type: 'error', message: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const noData = new Uint8Array();

/** The contents; nothing when the file is gone or closed to us, as fsutil has it. */
async function* readable(contents: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let isOpen = false;
  try {
    for await (const chunk of contents) {
      isOpen = true;
      yield chunk;
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (isOpen || !(code === 'ENOENT' || code === 'EACCES' || code === 'EPERM' || code === 'ENXIO')) throw error;
  }
}
