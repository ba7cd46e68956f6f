import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel } from '../grpc/channel.ts';
import { healthRoutes } from '../grpc/health.ts';
import { createGrpcServer, type GrpcServer } from '../grpc/server.ts';
import type { Route } from '../grpc/service.ts';
import { newIdentifier } from './identifier.ts';
import { createOutbox } from './outbox.ts';
import { type SessionOffer, sessionHeaders } from './session-headers.ts';
import { sessionMethod } from './session-manager.ts';
import { tunnelConnection } from './tunnel.ts';

/** What a client serves in its session. */
export interface SessionOptions {
  /** A new id unless said. */
  readonly id?: string;
  /** Stable for a directory, so that the daemon finds what it got of it before; may be empty. */
  readonly sharedKey?: string;
  readonly routes: readonly Route[];
  /** Told of each call of the daemon that failed here. */
  readonly onError?: (path: string, error: Error) => void;
}

/** A session that this process serves. Disposing ends it in order. */
export interface OpenSession extends AsyncDisposable {
  readonly id: string;
  /** Settles when the session has ended; rejects when the daemon or the connection ended it in error. */
  readonly ended: Promise<void>;
}

/** The most that a daemon sends in one message of a session (gRPC's default limit, which Go's clients keep). */
const LIMIT = 4 * 1024 * 1024;
/** How long the daemon may take to close what we ended, in milliseconds. */
const CLOSING = 5000;

/** Opens a session through gRPC, over a channel to a daemon. */
export function openSession(channel: Channel, options: SessionOptions): OpenSession {
  const { offer, server } = prepare(options);
  const outgoing = createOutbox<Uint8Array>();
  const incoming = channel.stream(sessionMethod, outgoing, { metadata: sessionHeaders(offer) });
  const failure = Promise.withResolvers<never>();
  async function* observed(): AsyncGenerator<Uint8Array> {
    try {
      yield* incoming;
    } catch (error) {
      failure.reject(error);
    }
  }
  return serveSession(tunnelConnection(observed(), outgoing), offer.id, server, failure.promise);
}

/**
 * Opens a session over a connection that the far end takes as one, as Docker's `/session` does after its upgrade.
 * @param connect makes the connection, given what the far end must be told
 */
export async function openSessionOver(
  connect: (offer: SessionOffer) => Promise<Duplex>,
  options: SessionOptions,
): Promise<OpenSession> {
  const { offer, server } = prepare(options);
  return serveSession(await connect(offer), offer.id, server, new Promise(() => {}));
}

function prepare({ id = newIdentifier(), sharedKey = '', routes, onError }: SessionOptions): {
  readonly offer: SessionOffer;
  readonly server: GrpcServer;
} {
  const server = createGrpcServer([...routes, ...healthRoutes()], {
    limit: LIMIT,
    ...(onError === undefined ? {} : { onError }),
  });
  return { offer: { id, sharedKey, methods: server.methods }, server };
}

function serveSession(connection: Duplex, id: string, server: GrpcServer, failure: Promise<never>): OpenSession {
  let isClosing = false;
  const served = server.serve(connection);
  const ended = Promise.race([served, failure]).catch(error => {
    if (!isClosing) throw error;
  });
  ended.catch(() => {});
  return {
    id,
    ended,
    async [Symbol.asyncDispose]() {
      isClosing = true;
      connection.end();
      const abort = new AbortController();
      await Promise.race([served, delay(CLOSING, undefined, { signal: abort.signal }).catch(() => {})]);
      abort.abort();
      await server[Symbol.asyncDispose]();
    },
  };
}
