import { mkdirSync } from 'node:fs';
import type { ReadableTree, TreeEntry } from '../fsutil/tree.ts';
import { Code } from '../grpc/code.ts';
import { first, type Metadata } from '../grpc/metadata.ts';
import { methodWith, rawBytes } from '../grpc/method.ts';
import { type Route, type ServerCall, streamRoute } from '../grpc/service.ts';
import { hasCode, StatusError } from '../grpc/status.ts';
import { FileSend } from '../proto/gen/session/filesync_pb.ts';
import { bytesMessage } from './bytes-message.ts';
import { createOutbox } from './outbox.ts';
import { type Session, SessionError } from './session.ts';
import { diskTarget } from './transfer/disk-target.ts';
import type { PacketStream } from './transfer/packet-stream.ts';
import { receiveTree } from './transfer/receive-tree.ts';
import { type FileAccess, type SendOptions, sendTree } from './transfer/send-tree.ts';
import { transferFiles } from './transfer-call.ts';

/** Messages are those of BytesMessage or packets, which only who sends and who receives know. */
const method = methodWith(FileSend.method.diffCopy, rawBytes);

const EXPORTER = 'buildkit-attachable-exporter-id';
const MULTI_PLATFORM = 'buildkit-exporter-multi-platform';
const RESPONSE_PREFIX = 'exporter-md-';
/** What Go's clients take in one message is 4 MiB; BuildKit sends 3. */
const LARGEST = 1024 * 1024;

/** What is needed of a session. */
type FileSendSession = Pick<Session, 'channel' | 'supports'>;

function requireFileSend(session: FileSendSession): void {
  if (!session.supports(method.path))
    throw new SessionError(`method ${method.path.replace('DiffCopy', 'diffcopy')} not supported by the client`);
}

/** Where results go. */
export interface SendTarget {
  /** The index of the exporter in the request. */
  readonly exporter: number;
  /** Whether all platforms come in this one transfer; clients that remove what does not come insist on it. */
  readonly multiPlatform?: boolean;
}

/**
 * Sends a tree to the client, which writes it into its directory. Rejects with SessionError when it does not take files, with
 * TransferError and StatusError when it fails to write them.
 */
export async function sendFiles<E extends TreeEntry>(
  session: FileSendSession,
  { exporter, multiPlatform }: SendTarget,
  tree: ReadableTree<E>,
  access: FileAccess<E>,
  signal: AbortSignal,
  options: SendOptions = {},
): Promise<void> {
  requireFileSend(session);
  const metadata = [[EXPORTER, String(exporter)], ...(multiPlatform ? [[MULTI_PLATFORM, '1'] as const] : [])] as const;
  await transferFiles(session.channel, method, metadata, signal, stream =>
    sendTree(stream, tree, access, signal, options),
  );
}

/**
 * Sends bytes (a tar) to the client. Returns `exists` when it has them already, which is as good.
 * @param response what the client is told of the result: `containerimage.digest`, `image.name` and so on
 */
export async function sendBytes(
  session: FileSendSession,
  { exporter }: Pick<SendTarget, 'exporter'>,
  response: Readonly<Record<string, string>>,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<'written' | 'exists'> {
  requireFileSend(session);
  async function* messages(): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes)
      for (let at = 0; at < chunk.length; at += LARGEST) yield bytesMessage.encode(chunk.subarray(at, at + LARGEST));
  }
  const entries = Object.entries(response).map(([key, value]) => [`${RESPONSE_PREFIX}${key}`, value] as const);
  const call = session.channel.stream(method, messages(), {
    metadata: [[EXPORTER, String(exporter)], ...entries],
    signal,
  });
  try {
    for await (const _message of call);
    return 'written';
  } catch (error) {
    if (hasCode(error, Code.alreadyExists)) return 'exists';
    throw error;
  }
}

/** What a client does with the result of an exporter. */
export type ResultTarget =
  | {
      readonly kind: 'directory';
      readonly path: string;
      /** Removes what does not come. */
      readonly mirror?: boolean;
    }
  | {
      readonly kind: 'bytes';
      /**
       * Takes the bytes. May throw StatusError with `alreadyExists` at once if it has them.
       * @param response what the daemon tells of the result
       */
      write(bytes: AsyncIterable<Uint8Array>, response: ReadonlyMap<string, string>): Promise<void>;
    };

/** The service that takes the results of exporters, by their index in the request. */
export function fileSendRoutes(targets: ReadonlyMap<number, ResultTarget>): Route[] {
  return [
    streamRoute(method, (requests, call) => {
      const id = Number(first(call.metadata, EXPORTER) ?? 0);
      const target = targets.get(id);
      if (target === undefined) throw new StatusError(Code.unknown, `exporter ${id} not found`);
      return target.kind === 'directory'
        ? receiveDirectory(requests, call, target)
        : receiveBytes(requests, call, target);
    }),
  ];
}

async function* receiveDirectory(
  requests: AsyncIterable<Uint8Array>,
  { metadata, signal }: ServerCall,
  { path, mirror = false }: Extract<ResultTarget, { kind: 'directory' }>,
): AsyncGenerator<Uint8Array> {
  if (mirror && first(metadata, MULTI_PLATFORM) !== '1')
    throw new StatusError(
      Code.unknown,
      'local exporter mode=delete requires a BuildKit daemon with multi-platform local export support',
    );
  mkdirSync(path, { recursive: true, mode: 0o700 });
  using target = diskTarget(path, { owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } });
  const outgoing = createOutbox<Uint8Array>();
  const stream: PacketStream = { incoming: requests, send: packet => outgoing.send(packet) };
  const options = mirror ? { differ: 'none' as const } : { merge: true };
  receiveTree(stream, target, signal, options).then(outgoing.close, outgoing.fail);
  yield* outgoing;
}

async function* receiveBytes(
  requests: AsyncIterable<Uint8Array>,
  { metadata }: ServerCall,
  target: Extract<ResultTarget, { kind: 'bytes' }>,
): AsyncGenerator<Uint8Array> {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for await (const message of requests) yield bytesMessage.decode(message);
  }
  await target.write(bytes(), responseOf(metadata));
  yield* [];
}

function responseOf(metadata: Metadata): ReadonlyMap<string, string> {
  const response = new Map<string, string>();
  for (const [name, values] of metadata)
    if (name.startsWith(RESPONSE_PREFIX)) response.set(name.slice(RESPONSE_PREFIX.length), values.join(','));
  return response;
}
