import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { acceptUpgrade } from '../../../wire/grpc/http-upgrade.ts';
import type { GrpcServer } from '../../../wire/grpc/server.ts';

import { version } from '../../cli/version.ts';
import type { DaemonLog } from '../daemon-log.ts';
import type { DaemonServices } from '../daemon-services.ts';
import { errorText } from '../error-status.ts';
import { ApiError, type ApiRoute, sendJson } from './api-call.ts';
import { buildRoutes } from './build-routes.ts';
import { imageRoutes } from './image-routes.ts';
import { API_VERSION, MIN_API_VERSION, systemRoutes } from './system-routes.ts';
import { transferRoutes } from './transfer-routes.ts';

/** The part of Docker's API that builds use. Disposing ends its connections at once. */
export interface DockerServer extends AsyncDisposable {
  serve(connection: Duplex): void;
  /** Settles when the requests that run have been answered. */
  drain(): Promise<void>;
}

/** Answers Docker's clients; what they want of BuildKit goes to the server for that. */
export function createDockerServer(services: DaemonServices, grpc: GrpcServer, log: DaemonLog): DockerServer {
  const routes = [
    ...systemRoutes(services),
    ...buildRoutes(services),
    ...transferRoutes(services),
    ...imageRoutes(services),
  ];
  const running = new Set<Promise<void>>();
  const ended = new AbortController();
  const server = createServer({ requestTimeout: 0, headersTimeout: 60_000 }, (request, response) => {
    const work = answer(routes, request, response, ended.signal, log).finally(() => running.delete(work));
    running.add(work);
  });
  server.on('upgrade', (request, connection, head) => {
    upgrade(services, grpc, request, connection, head, ended.signal).catch(error => {
      log.debug(errorText(error), { method: request.url ?? '' });
      connection.destroy();
    });
  });
  return {
    serve: connection => void server.emit('connection', connection),
    async drain() {
      server.closeIdleConnections();
      await Promise.all(running);
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      server.closeAllConnections();
      await Promise.all(running);
    },
  };
}

async function answer(
  routes: readonly ApiRoute[],
  request: IncomingMessage,
  response: ServerResponse,
  ended: AbortSignal,
  log: DaemonLog,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.on('error', () => gone.abort());
  response.setHeader('api-version', API_VERSION);
  response.setHeader('docker-experimental', 'false');
  response.setHeader('ostype', 'linux');
  response.setHeader('server', `outcrop/${version()} (linux)`);
  const url = new URL(request.url ?? '/', 'http://docker');
  try {
    const [, asked, path = url.pathname] = /^\/v(\d+\.\d+)(\/.*)$/.exec(url.pathname) ?? [];
    checkVersion(asked);
    for (const route of routes) {
      const match = route.method === request.method ? route.path.exec(path) : null;
      if (match === null) continue;
      const call = { query: url.searchParams, request, response, signal: AbortSignal.any([gone.signal, ended]) };
      await route.answer(call, ...match.slice(1).map(decodeURIComponent));
      return;
    }
    throw new ApiError(404, 'page not found');
  } catch (error) {
    log.debug(errorText(error), { method: `${request.method} ${url.pathname}` });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const status = error instanceof ApiError ? error.status : 500;
    sendJson(
      { query: url.searchParams, request, response, signal: gone.signal },
      { message: errorText(error) },
      status,
    );
  } finally {
    // A body that nobody read would stay in front of the next request.
    request.resume();
  }
}

function checkVersion(asked: string | undefined): void {
  if (asked === undefined) return;
  if (compareVersions(asked, MIN_API_VERSION) < 0) {
    throw new ApiError(
      400,
      `client version ${asked} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`,
    );
  }
  if (compareVersions(asked, API_VERSION) > 0) {
    throw new ApiError(400, `client version ${asked} is too new. Maximum supported API version is ${API_VERSION}`);
  }
}

function compareVersions(a: string, b: string): number {
  const [[major = 0, minor = 0], [otherMajor = 0, otherMinor = 0]] = [a, b].map(text =>
    text.split('.').map(Number),
  ) as [number[], number[]];
  return major - otherMajor || minor - otherMinor;
}

/** Docker's clients reach BuildKit, and BuildKit its clients, through connections that change their protocol. */
async function upgrade(
  { sessions }: DaemonServices,
  grpc: GrpcServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://docker').pathname.replace(/^\/v\d+\.\d+(?=\/)/, '');
  if (path !== '/grpc' && path !== '/session') {
    socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  socket.on('error', () => {});
  const { connection, metadata } = acceptUpgrade(request, socket, head);
  if (path === '/grpc') await grpc.serve(connection);
  else await sessions.attach(connection, metadata, signal);
}
