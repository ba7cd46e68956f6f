import { type ClientHttp2Session, connect } from 'node:http2';
import type { Duplex } from 'node:stream';
import { type CallHeaders, type CallOptions, type ClientCall, startCall } from './client-call.ts';
import { Code } from './code.ts';
import { CONNECTION_WINDOW, DEFAULT_LIMIT, sessionOptions } from './http2-settings.ts';
import type { Method } from './method.ts';
import { StatusError, toStatusError } from './status.ts';

/** How a channel behaves. */
export interface ChannelOptions {
  /** The most bytes of a message that it takes or sends; 16 MiB unless said. */
  readonly limit?: number;
  /** What servers are told to be named; `localhost` unless said. */
  readonly authority?: string;
  readonly scheme?: 'http' | 'https';
  readonly userAgent?: string;
}

/** Makes calls. Disposing ends the connection and all calls on it. */
export interface Channel extends AsyncDisposable {
  /** A call with one request and one response. Rejects with StatusError. */
  unary<RI, RO, SI, SO>(method: Method<RI, RO, SI, SO>, request: RI, options?: CallOptions): Promise<SO>;
  /** A call with any number of both. */
  stream<RI, RO, SI, SO>(
    method: Method<RI, RO, SI, SO>,
    requests: Iterable<RI> | AsyncIterable<RI>,
    options?: CallOptions,
  ): ClientCall<SO>;
  /** Aborted when there is no connection any more and none will be made. */
  readonly closed: AbortSignal;
}

/**
 * A channel over one connection. It is at once usable: calls wait for the other end's half of HTTP/2. Once the connection is
 * lost every call fails as `unavailable`.
 */
export function channelOver(connection: Duplex, options: ChannelOptions = {}): Channel {
  const session = openSession(connection, options);
  const closed = new AbortController();
  session.once('close', () => closed.abort(new StatusError(Code.unavailable, 'the connection is closed')));
  return createChannel(
    () => session,
    closed,
    options,
    async () => {
      await destroySession(session);
    },
  );
}

/**
 * A channel to an address: it connects with the first call, and again with the first call after a connection was lost. Calls
 * that the loss interrupts fail.
 * @param dial makes a connection; what it throws is the end of the calls that wait for it
 */
export function channelTo(dial: (signal: AbortSignal) => Promise<Duplex>, options: ChannelOptions = {}): Channel {
  const closed = new AbortController();
  let current: Promise<ClientHttp2Session> | undefined;

  async function open(): Promise<ClientHttp2Session> {
    try {
      return openSession(await dial(closed.signal), options);
    } catch (cause) {
      const { message } = toStatusError(cause);
      throw new StatusError(Code.unavailable, `connection error: desc = "transport: Error while dialing: ${message}"`, {
        cause,
      });
    }
  }

  function openNew(): Promise<ClientHttp2Session> {
    const opening = open();
    current = opening;
    const forget = (): void => {
      if (current === opening) current = undefined;
    };
    // After GOAWAY no call can begin on a connection; those that run go on.
    opening.then(session => session.once('close', forget).once('goaway', forget), forget);
    return opening;
  }

  async function session(): Promise<ClientHttp2Session> {
    const opening = current;
    if (opening === undefined) return openNew();
    const known = await opening;
    if (!known.destroyed && !known.closed) return known;
    return current === opening || current === undefined ? openNew() : session();
  }

  return createChannel(session, closed, options, async () => {
    const opened = await current?.catch(() => undefined);
    if (opened !== undefined) await destroySession(opened);
  });
}

function openSession(
  connection: Duplex,
  { scheme = 'http', authority = 'localhost' }: ChannelOptions,
): ClientHttp2Session {
  connection.on('error', () => {});
  const session = connect(`${scheme}://${authority}`, { ...sessionOptions, createConnection: () => connection });
  // Calls tell what went wrong.
  session.on('error', () => {});
  session.once('connect', () => {
    if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW);
  });
  session.once('close', () => connection.destroy());
  // Sockets of HTTP upgrades may stay half open, which is of no use here.
  connection.once('end', () => session.destroy());
  return session;
}

function destroySession(session: ClientHttp2Session): Promise<void> {
  if (session.destroyed) return Promise.resolve();
  return new Promise(resolve => {
    session.once('close', resolve);
    session.destroy();
  });
}

function createChannel(
  session: () => ClientHttp2Session | Promise<ClientHttp2Session>,
  closed: AbortController,
  options: ChannelOptions,
  close: () => Promise<void>,
): Channel {
  const limit = options.limit ?? DEFAULT_LIMIT;
  const own: CallHeaders = {
    authority: options.authority ?? 'localhost',
    scheme: options.scheme ?? 'http',
    userAgent: options.userAgent ?? 'outcrop',
  };

  async function start<RI, RO, SI, SO>(
    method: Method<RI, RO, SI, SO>,
    requests: Iterable<RI> | AsyncIterable<RI>,
    callOptions: CallOptions,
  ): Promise<ClientCall<SO>> {
    if (closed.signal.aborted) throw closed.signal.reason;
    const opened = await session();
    try {
      return startCall(opened, own, method, requests, limit, callOptions);
    } catch (cause) {
      if (callOptions.signal?.aborted) throw toStatusError(callOptions.signal.reason);
      throw new StatusError(Code.unavailable, `the connection is closed: ${(cause as Error).message}`, { cause });
    }
  }

  return {
    closed: closed.signal,
    async unary(method, request, callOptions = {}) {
      const call = await start(method, [request], callOptions);
      let response: { readonly message: Awaited<ReturnType<typeof method.response.decode>> } | undefined;
      for await (const message of call) response = { message };
      if (response === undefined) throw new StatusError(Code.internal, 'the call succeeded without a response');
      return response.message;
    },
    stream(method, requests, callOptions = {}) {
      const started = start(method, requests, callOptions);
      const headers = started.then(call => call.headers);
      headers.catch(() => {});
      return {
        headers,
        async *[Symbol.asyncIterator]() {
          yield* await started;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      if (!closed.signal.aborted) closed.abort(new StatusError(Code.canceled, 'the channel is closed'));
      await close();
    },
  };
}
