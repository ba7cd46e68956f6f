import type { Duplex } from 'node:stream';
import { channelOver } from '../grpc/channel.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { methodWith, rawBytes } from '../grpc/method.ts';
import { type Route, streamRoute } from '../grpc/service.ts';
import { Control } from '../proto/gen/control/control_pb.ts';
import { watchHealth } from './health-check.ts';
import { createOutbox } from './outbox.ts';
import { type Session, SessionError } from './session.ts';
import { readSessionHeaders } from './session-headers.ts';
import { tunnelConnection } from './tunnel.ts';

/** The sessions of a daemon. Disposing ends them all. */
export interface SessionManager extends AsyncDisposable {
  /**
   * Takes a connection on which a client serves, and keeps its session until the connection ends, the client is found dead,
   * or `signal` is aborted; settles then. A session with the same id is replaced.
   * @param metadata what opened the session: of the gRPC call, or the headers of the HTTP request by lower-case name
   */
  attach(connection: Duplex, metadata: Metadata, signal: AbortSignal): Promise<void>;
  /** Whether a session with this id is there. */
  has(id: string): boolean;
  /**
   * The session with an id; a prefix that ends with `:` does not count. Waits for one that is not there yet.
   * @param patience milliseconds; 5000 unless said
   * @throws SessionError when it does not come
   */
  get(id: string, signal: AbortSignal, patience?: number): Promise<Session>;
  /**
   * What `ask` gives for the first of these sessions where it does not fail.
   * @throws what it threw for the last one, or SessionError when there is none
   */
  any<T>(ids: readonly string[], signal: AbortSignal, ask: (session: Session) => Promise<T>): Promise<T>;
}

const PATIENCE = 5000;

/** A manager without sessions. */
export function createSessionManager(): SessionManager {
  const sessions = new Map<string, Session>();
  const waiting = new Map<string, Set<(session: Session) => void>>();
  const lifetime = new AbortController();
  const attached = new Set<Promise<void>>();

  async function run(connection: Duplex, metadata: Metadata, signal: AbortSignal): Promise<void> {
    const { id, sharedKey, methods, healthTimeout } = readSessionHeaders(metadata);
    const supported = new Set(methods.map(method => method.toLowerCase()));
    await using channel = channelOver(connection);
    const { closed } = channel;
    const session: Session = {
      id,
      sharedKey,
      channel,
      closed,
      supports: method => supported.has(method.toLowerCase()),
    };
    sessions.set(id, session);
    for (const found of waiting.get(id) ?? []) found(session);
    try {
      const end = AbortSignal.any([closed, signal, lifetime.signal]);
      // Its failure ends the session; those who use it see that.
      await watchHealth(channel, healthTimeout, end).catch(() => {});
    } finally {
      if (sessions.get(id) === session) sessions.delete(id);
    }
  }

  function wait(id: string, signal: AbortSignal, patience: number): Promise<Session> {
    return new Promise((resolve, reject) => {
      const found = (session: Session): void => {
        stop();
        resolve(session);
      };
      const fail = (error: unknown): void => {
        stop();
        reject(error);
      };
      const missing = `no active session for ${id}: context deadline exceeded`;
      const timer = setTimeout(() => fail(new SessionError(missing)), patience);
      const abort = (): void => fail(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      const others = waiting.get(id) ?? new Set();
      waiting.set(id, others.add(found));
      function stop(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        others.delete(found);
        if (others.size === 0) waiting.delete(id);
      }
    });
  }

  const manager: SessionManager = {
    async attach(connection, metadata, signal) {
      const session = run(connection, metadata, signal);
      attached.add(session);
      await session.finally(() => attached.delete(session));
    },
    has: id => sessions.has(id),
    async get(id, signal, patience = PATIENCE) {
      signal.throwIfAborted();
      const plain = /^[^:]*:(.+)$/s.exec(id)?.[1] ?? id;
      const session = sessions.get(plain);
      return session !== undefined && !session.closed.aborted ? session : wait(plain, signal, patience);
    },
    async any(ids, signal, ask) {
      let failure: unknown = new SessionError('no active sessions');
      for (const id of ids) {
        try {
          return await ask(await manager.get(id, signal));
        } catch (error) {
          signal.throwIfAborted();
          failure = error;
        }
      }
      throw failure;
    },
    async [Symbol.asyncDispose]() {
      lifetime.abort();
      await Promise.all(attached);
    },
  };
  return manager;
}

/** `Control.Session`: the call whose messages are a session's connection. */
export const sessionMethod = methodWith(Control.method.session, rawBytes);

/** The route that takes sessions through gRPC. */
export function sessionRoute(manager: SessionManager): Route {
  return streamRoute(sessionMethod, async function* (requests, call) {
    const outgoing = createOutbox<Uint8Array>();
    const connection = tunnelConnection(requests, outgoing);
    const session = manager.attach(connection, call.metadata, call.signal);
    session.then(outgoing.close, outgoing.fail);
    yield* outgoing;
    await session;
  });
}
