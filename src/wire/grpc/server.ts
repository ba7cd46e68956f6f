import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { Code } from './code.ts';
import { CONNECTION_WINDOW, DEFAULT_LIMIT, sessionOptions } from './http2-settings.ts';
import { serveCall } from './server-call.ts';
import type { Route } from './service.ts';
import { StatusError } from './status.ts';

/** How a server behaves. */
export interface ServerOptions {
  /** The most bytes of a message that it takes or sends; 16 MiB unless said. */
  readonly limit?: number;
  /** Told of every call that fails, for logs. */
  readonly onError?: (path: string, error: StatusError) => void;
}

/** Answers gRPC calls on connections that others accept. Disposing ends all connections at once. */
export interface GrpcServer extends AsyncDisposable {
  /** The paths of the methods that it answers. */
  readonly methods: readonly string[];
  /**
   * Speaks HTTP/2 on a connection until either end closes it, or `signal` is aborted. Never rejects: what goes wrong with a
   * connection concerns nobody else.
   */
  serve(connection: Duplex, signal?: AbortSignal): Promise<void>;
  /** Takes no more calls; settles when those that run have ended. */
  drain(): Promise<void>;
}

/** Makes a server that answers some methods. */
export function createGrpcServer(routes: readonly Route[], options: ServerOptions = {}): GrpcServer {
  const table = new Map(routes.map(route => [route.path, route]));
  const services = new Set(routes.map(route => serviceOf(route.path)));
  const sessions = new Map<ServerHttp2Session, Promise<void>>();
  let isDraining = false;

  function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    // What breaks a stream shows as the end of its call.
    stream.on('error', () => {});
    if (headers[':method'] !== 'POST' || !/^application\/grpc\b/.test(headers['content-type'] ?? '')) {
      stream.respond({ ':status': headers[':method'] === 'POST' ? 415 : 405 }, { endStream: true });
      return;
    }
    const path = String(headers[':path']);
    const route = table.get(path) ?? unknownRoute(path, services);
    void serveCall(stream, rawHeaders, route, options.limit ?? DEFAULT_LIMIT).then(error => {
      if (error !== undefined) options.onError?.(path, error);
    });
  }

  return {
    methods: [...table.keys()],
    serve(connection, signal) {
      // A connection that breaks before HTTP/2 has hold of it.
      connection.on('error', () => {});
      if (signal?.aborted || connection.destroyed) {
        connection.destroy();
        return Promise.resolve();
      }
      const session = performServerHandshake(connection, sessionOptions);
      const done = new Promise<void>(resolve => {
        const abort = (): void => session.destroy();
        signal?.addEventListener('abort', abort, { once: true });
        session.once('close', () => {
          signal?.removeEventListener('abort', abort);
          sessions.delete(session);
          if (!connection.destroyed) connection.destroy();
          resolve();
        });
      });
      sessions.set(session, done);
      session.on('error', () => {});
      connection.once('end', () => session.destroy());
      session.setLocalWindowSize(CONNECTION_WINDOW);
      session.on('stream', (stream: ServerHttp2Stream, headers, _flags, rawHeaders) => {
        answer(stream, headers, rawHeaders);
      });
      if (isDraining) session.close();
      return done;
    },
    async drain() {
      isDraining = true;
      for (const session of sessions.keys()) session.close();
      await Promise.all(sessions.values());
    },
    async [Symbol.asyncDispose]() {
      isDraining = true;
      for (const session of sessions.keys()) session.destroy(undefined, constants.NGHTTP2_CANCEL);
      await Promise.all(sessions.values());
    },
  };
}

function unknownRoute(path: string, services: ReadonlySet<string>): Route {
  const service = serviceOf(path);
  const method = path.slice(path.lastIndexOf('/') + 1);
  const message = services.has(service)
    ? `unknown method ${method} for service ${service}`
    : `unknown service ${service}`;
  return {
    path,
    answersMany: false,
    run: () => {
      throw new StatusError(Code.unimplemented, message);
    },
  };
}

/** `package.Service` of `/package.Service/Method`. */
function serviceOf(path: string): string {
  return path.slice(1, Math.max(path.lastIndexOf('/'), 1));
}
