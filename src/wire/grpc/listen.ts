import { chmodSync, chownSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { AddressError } from './dial.ts';

/** Certificates and keys, PEM. */
interface ServerTls {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Who must have signed the certificates of clients; without it they need none. */
  readonly ca?: string | Buffer;
}

/** How to listen. */
export interface ListenOptions {
  /** Of TCP addresses. */
  readonly tls?: ServerTls;
  /** Who owns the file of a Unix socket; this process unless said. */
  readonly uid?: number;
  readonly gid?: number;
  /** Of the process, for sockets that a service manager passes on (sd_listen_fds(3)). */
  readonly env?: NodeJS.ProcessEnv;
}

/** A place where connections come in. Disposing stops taking new ones; those there are go on. */
export interface Listener extends AsyncDisposable {
  /** As it was asked for, with the port that was chosen. */
  readonly address: string;
}

const KEEPALIVE_MS = 30_000;
const FIRST_PASSED_FD = 3;

/**
 * Listens on `unix://PATH`, `tcp://HOST:PORT` or `fd://` (all sockets that a service manager passes on, or `fd://N` for the
 * one with that number). The file of a Unix socket is open to its owner and group alone; one that nobody listens on any
 * more is replaced.
 * @throws AddressError for other addresses, and the errors of `node:net`.
 */
export async function listenOn(
  address: string,
  onConnection: (socket: Socket) => void,
  options: ListenOptions = {},
): Promise<Listener[]> {
  const separator = address.indexOf('://');
  if (separator < 0) throw new AddressError(`address ${address} does not contain proto, you meant unix://${address} ?`);
  const rest = address.slice(separator + 3);
  switch (address.slice(0, separator)) {
    case 'unix':
      return [await listenUnix(rest, createServer(onConnection), options)];
    case 'tcp':
      return [await listenTcp(address, rest, onConnection, options.tls)];
    case 'fd':
      return Promise.all(
        passedSockets(rest, options.env ?? process.env).map(async fd => {
          const server = createServer(onConnection);
          await listening(server, () => server.listen({ fd }));
          return listenerOf(`fd://${fd}`, server);
        }),
      );
    default:
      throw new AddressError(`addr ${address} not supported`);
  }
}

async function listenUnix(path: string, server: Server, { uid, gid }: ListenOptions): Promise<Listener> {
  mkdirSync(dirname(path), { recursive: true });
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path);
  // Nobody can connect between the making of the file and the setting of its mode.
  const mask = process.umask(0o177);
  try {
    await listening(server, () => {
      server.listen(path);
      process.umask(mask);
    });
  } finally {
    process.umask(mask);
  }
  chownSync(path, uid ?? process.geteuid?.() ?? -1, gid ?? process.getegid?.() ?? -1);
  chmodSync(path, 0o660);
  return listenerOf(`unix://${path}`, server);
}

async function listenTcp(
  address: string,
  rest: string,
  onConnection: (socket: Socket) => void,
  tls: ServerTls | undefined,
): Promise<Listener> {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:/]*)):(\d+)\/?$/.exec(rest) ?? [];
  if (digits === undefined) throw new AddressError(`address ${address} must be tcp://HOST:PORT`);
  const host = bracketed ?? plain;
  const accept = (socket: Socket): void => {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    onConnection(socket);
  };
  const server = tls === undefined ? createServer(accept) : createTlsServer(tlsOptions(tls), accept);
  // One that fails to prove itself is its own concern.
  server.on('tlsClientError', () => {});
  await listening(server, () => server.listen({ port: Number(digits), ...(host ? { host } : {}) }));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : Number(digits);
  return listenerOf(`tcp://${rest.replace(/:\d+\/?$/, '')}:${port}`, server);
}

function tlsOptions({ cert, key, ca }: ServerTls): object {
  const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
  return { cert, key, ALPNProtocols: ['h2'], ...clients };
}

function passedSockets(rest: string, env: NodeJS.ProcessEnv): readonly number[] {
  const count = Number(env['LISTEN_FDS'] ?? 0);
  if (Number(env['LISTEN_PID']) !== process.pid || !Number.isInteger(count) || count <= 0)
    throw new AddressError('no sockets found via socket activation: make sure the service was started by systemd');
  const all = Array.from({ length: count }, (_, index) => FIRST_PASSED_FD + index);
  if (rest === '' || rest === '*') return all;
  const chosen = all.find(fd => String(fd) === rest);
  if (chosen === undefined) throw new AddressError(`failed to listen on fd://${rest}: no such socket was passed`);
  return [chosen];
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}

function listenerOf(address: string, server: Server): Listener {
  return {
    address,
    async [Symbol.asyncDispose]() {
      // Settles only when all connections have ended, which nobody waits for.
      server.close();
    },
  };
}
