import type { SourceRequest } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import type { Op } from '../../engine/solver/op.ts';
import type { LocalContexts } from '../../engine/source/local.ts';
import { type LocalIdentifier, localKey, parseLocalSource } from '../../engine/source/local-key.ts';
import { sourceCacheMap } from '../../engine/source/source-key.ts';
import type { EventSink, Timestamp } from '../../engine/status/event.ts';
import { fromBytePath } from '../../wire/fsutil/byte-path.ts';
import { compilePatterns } from '../../wire/fsutil/patterns.ts';
import { receiveDirectory } from '../../wire/session/file-sync.ts';
import { type Session, SessionError } from '../../wire/session/session.ts';
import type { ReceivedHold } from './received-directories.ts';

/** What directories of clients are read with. */
export interface SessionLocalOptions {
  /** The session that the build came with; empty for none. */
  readonly session: string;
  readonly find: (session: string, signal: AbortSignal) => Promise<Session>;
  readonly received: ReceivedHold;
  readonly contexts: LocalContexts;
  readonly emit: EventSink;
  readonly now: () => Timestamp;
}

const DIFF_COPY = '/moby.filesync.v1.FileSync/DiffCopy';

/** The step that a `local://` source of a client is: its directory is copied here, as far as it changed, and read in place. */
export function sessionLocalOp(request: SourceRequest, options: SessionLocalOptions): Op<Ref> {
  const { attrs, vertex } = request;
  const source = parseLocalSource(request.identifier, attrs);
  return {
    cacheMap: async () => ({ map: sourceCacheMap(localKey(source, options.session)), done: true }),
    async exec(_, signal) {
      const id = source.session === '' ? options.session : source.session;
      if (id === '') throw new SessionError('no local sources enabled');
      const session = await options.find(id, signal);
      if (!session.supports(DIFF_COPY)) throw new SessionError('no local sources enabled');
      const { directoryName: name, metadataOnly } = source;
      const hint = attrs['local.sharedkeyhint'] ?? '';
      const key = [name, hint, session.sharedKey, ...(metadataOnly ? ['metadata'] : [])].join(':');
      const directory = options.received.take(key);
      try {
        await receive(session, source, attrs['local.differ'], directory, vertex.digest, options, signal);
      } catch (error) {
        options.received.drop(directory);
        throw error;
      }
      return [{ kind: 'local', name, contents: options.contexts.open(directory, {}) }];
    },
  };
}

/** How often a transfer says how far it is, in nanoseconds. */
const INTERVAL = 100_000_000n;

async function receive(
  session: Session,
  source: LocalIdentifier,
  differ: string | undefined,
  directory: string,
  vertex: string,
  { emit, now }: SessionLocalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { directoryName: name, filter, metadataOnly, metadataExceptions } = source;
  const started = now();
  let last = started;
  let current = 0;
  const say = (completed?: Timestamp) =>
    emit({
      kind: 'status',
      id: `transferring ${name}:`,
      vertex,
      name: 'transferring',
      current,
      total: 0,
      timestamp: completed ?? now(),
      started,
      ...(completed === undefined ? {} : { completed }),
    });
  say();
  const exceptions = metadataOnly ? compilePatterns(metadataExceptions ?? []) : undefined;
  await receiveDirectory(
    session.channel,
    {
      name,
      filter,
      directory,
      differ: differ === 'none' ? 'none' : 'metadata',
      ...(exceptions === undefined ? {} : { metadataOnly: stat => exceptions.matches(fromBytePath(stat.path)) }),
      onProgress(bytes) {
        current = bytes;
        const time = now();
        if (time - last < INTERVAL) return;
        last = time;
        say();
      },
    },
    signal,
  );
  say(now());
}
