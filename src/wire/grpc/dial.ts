import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import { type Channel, type ChannelOptions, channelTo } from './channel.ts';

/** An address that cannot be used. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

/** Certificates and keys, PEM. */
export interface ClientTls {
  /** Who may have signed the server's certificate. */
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** The name that the server's certificate must have, unless it is that of the address. */
  readonly serverName?: string;
}

/** A way to a daemon. */
export interface Dialer {
  /** What the daemon is told to be named. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** Connects. Rejects with what the system says. */
  dial(signal: AbortSignal): Promise<Duplex>;
}

const KEEPALIVE_MS = 30_000;

/**
 * The way to an address as BuildKit's clients write it: `unix://PATH`, `tcp://HOST:PORT`, or a program that joins its standard
 * streams to a daemon elsewhere: `docker-container://NAME`, `podman-container://NAME`, `nerdctl-container://NAME`,
 * `kube-pod://POD?context=&namespace=&container=`, `ssh://[USER@]HOST[:PORT][/SOCKET]`.
 * @throws AddressError
 */
export function dialerFor(address: string, tls?: ClientTls): Dialer {
  const separator = address.indexOf('://');
  if (separator < 0) throw new AddressError(`address ${address} does not contain proto, you meant unix://${address} ?`);
  const scheme = address.slice(0, separator);
  const rest = address.slice(separator + 3);
  if (scheme === 'unix')
    return { authority: 'localhost', scheme: 'http', dial: signal => dialSocket({ path: rest }, signal) };
  if (scheme === 'tcp') return tcpDialer(address, rest, tls);
  const [program, ...args] = remoteCommand(scheme, address);
  if (program === undefined) throw new AddressError(`addr ${address} not supported`);
  return { authority: 'localhost', scheme: 'http', dial: signal => dialCommand(program, args, signal) };
}

/** A channel to an address, which is connected when the first call is made. Throws AddressError. */
export function channelToAddress(
  address: string,
  options: ChannelOptions & { readonly tls?: ClientTls } = {},
): Channel {
  const { dial, ...names } = dialerFor(address, options.tls);
  return channelTo(dial, { ...names, ...options });
}

async function dialSocket(
  options: { readonly path: string } | { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Socket> {
  const socket = connectSocket(options);
  try {
    await once(socket, 'connect', { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.setNoDelay(true);
  if ('port' in options) socket.setKeepAlive(true, KEEPALIVE_MS);
  return socket;
}

function tcpDialer(address: string, authority: string, tls: ClientTls | undefined): Dialer {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:/]+)):(\d+)\/?$/.exec(authority) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw new AddressError(`address ${address} must be tcp://HOST:PORT`);
  const target = { host, port: Number(digits) };
  if (tls === undefined) return { authority, scheme: 'http', dial: signal => dialSocket(target, signal) };
  const { serverName = host, ca, cert, key } = tls;
  return {
    authority: serverName,
    scheme: 'https',
    async dial(signal) {
      const socket = connectTls({
        ...target,
        // Addresses are no names that a handshake may tell.
        ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
        checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
        ALPNProtocols: ['h2'],
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      });
      try {
        await once(socket, 'secureConnect', { signal });
      } catch (error) {
        socket.destroy();
        throw error;
      }
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEPALIVE_MS);
      return socket;
    },
  };
}

const KUBE_NAME = /^[-a-z0-9.]+$/;

/** The command that joins us to the daemon; empty for a scheme that is none. */
function remoteCommand(scheme: string, address: string): readonly string[] {
  const far = ['buildctl', 'dial-stdio'];
  let url: URL;
  try {
    // Names of containers may have what hosts may not.
    url = new URL(address.replace(/^[^:]+:/, 'ssh:'));
  } catch (cause) {
    throw new AddressError(`address ${address} is malformed`, { cause });
  }
  const name = decodeURIComponent(url.hostname);
  const query = (key: string): string => url.searchParams.get(key) ?? '';
  const need = (what: string): void => {
    if (name === '') throw new AddressError(`address ${address} lacks the name of the ${what}`);
  };
  switch (scheme) {
    case 'docker-container':
      need('container');
      return ['docker', ...(query('context') ? [`--context=${query('context')}`] : []), 'exec', '-i', name, ...far];
    case 'podman-container':
      need('container');
      return ['podman', 'exec', '-i', name, ...far];
    case 'nerdctl-container': {
      need('container');
      const namespace = query('namespace');
      return ['nerdctl', 'exec', ...(namespace ? ['--namespace', namespace] : []), '-i', name, ...far];
    }
    case 'kube-pod': {
      need('pod');
      for (const value of [name, query('namespace'), query('container')]) {
        if (value !== '' && !KUBE_NAME.test(value))
          throw new AddressError(`address ${address}: unsupported name ${value}`);
      }
      const flags = ['context', 'namespace'].filter(key => query(key) !== '').map(key => `--${key}=${query(key)}`);
      const container = query('container') === '' ? [] : [`--container=${query('container')}`];
      return ['kubectl', ...flags, 'exec', ...container, '-i', name, '--', ...far];
    }
    case 'ssh': {
      need('host');
      if (url.password !== '') throw new AddressError(`address ${address}: plain-text password is not supported`);
      const socket = url.pathname === '' || url.pathname === '/' ? [] : ['--addr', `unix://${url.pathname}`];
      const user = url.username === '' ? [] : ['-l', decodeURIComponent(url.username)];
      const port = url.port === '' ? [] : ['-p', url.port];
      return ['ssh', ...user, ...port, '--', name, 'buildctl', ...socket, 'dial-stdio'];
    }
    default:
      return [];
  }
}

/** The standard streams of a program as one connection. The program ends with it. */
async function dialCommand(program: string, args: readonly string[], signal: AbortSignal): Promise<Duplex> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  await once(child, 'spawn', { signal });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4096)));
  const { stdin, stdout } = child;
  const ended = new Promise<void>(resolve => void child.once('close', () => resolve()));
  const connection = new Duplex({
    read: () => void stdout.resume(),
    write: (chunk, _encoding, done) =>
      void stdin.write(chunk, error => {
        // A program that takes no more has ended, or will, and says why.
        if (error) void ended.then(() => done(error));
        else done();
      }),
    final: done => void stdin.end(done),
    destroy: (error, done) => {
      child.kill();
      done(error);
    },
  });
  stdout.on('data', (chunk: Buffer) => {
    if (!connection.push(chunk)) stdout.pause();
  });
  stdin.on('error', () => {});
  child.once('close', code => {
    const command = [program, ...args].join(' ');
    if (code === 0 || connection.destroyed) connection.push(null);
    else connection.destroy(new Error(`command [${command}] has exited with code ${code}: ${said.trim()}`));
  });
  return connection;
}
