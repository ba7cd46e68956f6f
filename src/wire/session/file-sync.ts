import { filterTree, type TransferFilter } from '../fsutil/filter-tree.ts';
import type { ReadableTree, TreeEntry } from '../fsutil/tree.ts';
import type { Channel } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { methodWith, rawBytes } from '../grpc/method.ts';
import { type Route, streamRoute } from '../grpc/service.ts';
import { StatusError } from '../grpc/status.ts';
import { FileSync } from '../proto/gen/session/filesync_pb.ts';
import { fileMetadata, readFileMetadata } from './file-metadata.ts';
import { createOutbox } from './outbox.ts';
import { diskTarget } from './transfer/disk-target.ts';
import type { FileStat } from './transfer/file-stat.ts';
import type { PacketStream } from './transfer/packet-stream.ts';
import { receiveTree } from './transfer/receive-tree.ts';
import { type FileAccess, type SendOptions, sendTree } from './transfer/send-tree.ts';
import { transferFiles } from './transfer-call.ts';

const method = methodWith(FileSync.method.diffCopy, rawBytes);

/** Which files of a client are wanted, and where. */
export interface DirectoryRequest {
  /** The name of the client's directory: `context`, `dockerfile`, … */
  readonly name: string;
  readonly filter: TransferFilter;
  /** Where the files go, and where an earlier transfer may have left some: only what differs is asked for. */
  readonly directory: string;
  /** What counts as a change: other metadata, or `none`: everything is. */
  readonly differ?: 'metadata' | 'none';
  /** Write only the files that it chooses, and the list of all in `.fsutil-metadata`. */
  readonly metadataOnly?: (stat: FileStat) => boolean;
  /** Told of all bytes that came so far. */
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Fetches files of a client's directory into one of ours. Rejects with StatusError (`notFound`) when the client has no
 * directory of that name, with TransferError and with what writing throws; the directory is then to be thrown away.
 * @param channel of a session that supports `/moby.filesync.v1.FileSync/DiffCopy`
 */
export async function receiveDirectory(
  channel: Channel,
  { name, filter, directory, ...options }: DirectoryRequest,
  signal: AbortSignal,
): Promise<void> {
  using target = diskTarget(directory);
  const metadata = fileMetadata({ name, ...filter });
  await transferFiles(channel, method, metadata, signal, stream => receiveTree(stream, target, signal, options));
}

/** A directory that can be sent, or a part of it. */
export interface SharedDirectory {
  send(filter: TransferFilter, stream: PacketStream, signal: AbortSignal, options?: SendOptions): Promise<void>;
}

/** A tree as a directory that can be sent. */
export function sharedDirectory<E extends TreeEntry>(tree: ReadableTree<E>, access: FileAccess<E>): SharedDirectory {
  return {
    send: (filter, stream, signal, options) => sendTree(stream, filterTree(tree, filter), access, signal, options),
  };
}

/** The service that gives the daemon files of the client's directories, by name. */
export function fileSyncRoutes(
  lookup: (name: string) => SharedDirectory | undefined,
  onProgress?: (name: string, bytes: number) => void,
): Route[] {
  const route = streamRoute(method, async function* (requests, { metadata, signal }) {
    const { name, ...filter } = readFileMetadata(metadata);
    const directory = lookup(name);
    if (directory === undefined)
      throw new StatusError(Code.notFound, `no access allowed to dir ${JSON.stringify(name)}`);
    const outgoing = createOutbox<Uint8Array>();
    const stream: PacketStream = { incoming: requests, send: packet => outgoing.send(packet) };
    const options = onProgress === undefined ? {} : { onProgress: (bytes: number) => onProgress(name, bytes) };
    directory.send(filter, stream, signal, options).then(outgoing.close, outgoing.fail);
    yield* outgoing;
  });
  // Nobody calls it, and everybody offers it.
  const tarStream = methodWith(FileSync.method.tarStream, rawBytes);
  return [route, { ...route, path: tarStream.path }];
}
