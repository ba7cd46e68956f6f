import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { type Endpoint, isLoopback, tlsOptionsOf } from './endpoint.ts';
import { isTlsCode, networkCode } from './registry-error.ts';

/** Bytes to send. Made anew for each attempt. */
export type RequestBody = Uint8Array | string | AsyncIterable<Uint8Array>;

/** One HTTP request, as it goes out. */
export interface Exchange {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Milliseconds to wait for the head of the answer. */
  readonly headersTimeout: number;
}

/** One HTTP answer. Its body must be read or dropped (`discard`). */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** Moves requests over connections that it keeps. Loads undici when it is first used. */
export interface Transport extends AsyncDisposable {
  exchange(endpoint: Endpoint, url: URL, exchange: Exchange, signal: AbortSignal): Promise<Answer>;
}

const CONNECT_TIMEOUT = 30_000;
const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'];

/**
 * A transport.
 * @param silence milliseconds without a byte after which an exchange fails
 */
export function createTransport(silence: number): Transport {
  const dispatchers = new Map<string, Promise<Dispatcher>>();
  /** Hosts whose HTTPS failed and that may be asked in plain HTTP. */
  const fellBack = new Set<string>();

  const dispatcherFor = (endpoint: Endpoint, url: URL): Promise<Dispatcher> => {
    // Where a redirect leads to another host, that host's certificates are those of everyone.
    const own = url.host === new URL(`${endpoint.scheme}://${endpoint.host}`).host;
    const direct = isLoopback(url.host);
    const key = `${url.protocol}//${own ? endpoint.host : ''}${direct ? ' direct' : ''}`;
    let dispatcher = dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher = makeDispatcher(own ? endpoint : { ...endpoint, config: NO_CONFIG }, url, direct, silence);
      dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  };

  const once = async (endpoint: Endpoint, url: URL, exchange: Exchange, signal: AbortSignal): Promise<Answer> => {
    const { request } = await import('./http-client.ts');
    const dispatcher = await dispatcherFor(endpoint, url);
    const answer = await request(url, {
      dispatcher,
      method: exchange.method,
      headers: { 'user-agent': 'outcrop', ...exchange.headers },
      ...(exchange.body === undefined ? {} : { body: toBody(exchange.body) }),
      headersTimeout: exchange.headersTimeout,
      bodyTimeout: silence,
      signal,
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  };

  return {
    async exchange(endpoint, url, exchange, signal) {
      signal.throwIfAborted();
      const plain = () => once(endpoint, new URL(url.href.replace(/^https:/, 'http:')), exchange, signal);
      if (!endpoint.fallbackToHttp || url.protocol !== 'https:') return once(endpoint, url, exchange, signal);
      if (fellBack.has(url.host)) return plain();
      try {
        return await once(endpoint, url, exchange, signal);
      } catch (error) {
        // A body that was being sent cannot be sent again, but a failed handshake has taken nothing of it.
        const code = networkCode(error) ?? '';
        if (signal.aborted || !(isTlsCode(code) || code === 'ECONNREFUSED')) throw error;
        fellBack.add(url.host);
        return plain();
      }
    },
    async [Symbol.asyncDispose]() {
      const open = await Promise.allSettled(dispatchers.values());
      dispatchers.clear();
      await Promise.all(open.map(result => (result.status === 'fulfilled' ? result.value.destroy() : undefined)));
    },
  };
}

const NO_CONFIG = { mirrors: [], ca: [], keypairs: [], tlsConfigDirs: [] };

async function makeDispatcher(endpoint: Endpoint, url: URL, direct: boolean, silence: number): Promise<Dispatcher> {
  const { Agent, EnvHttpProxyAgent } = await import('./http-client.ts');
  const tls = url.protocol === 'https:' ? await tlsOptionsOf(endpoint.config) : {};
  const connect = { timeout: Math.min(CONNECT_TIMEOUT, silence), ...tls };
  const options = { connect, connections: 32, keepAliveTimeout: 10_000 };
  const proxied = !direct && PROXY_VARIABLES.some(name => process.env[name]);
  return proxied ? new EnvHttpProxyAgent({ ...options, requestTls: tls }) : new Agent(options);
}

function toBody(body: RequestBody): Uint8Array | string | Readable {
  return typeof body === 'string' || body instanceof Uint8Array ? body : Readable.from(body, { objectMode: false });
}

/** Drops the rest of an answer, so that its connection can be used again. */
export async function discard(answer: Answer): Promise<void> {
  answer.body.on('error', () => {});
  if ('dump' in answer.body && typeof answer.body.dump === 'function') await answer.body.dump();
  else answer.body.destroy();
}

/** Reads at most `limit` bytes of an answer and drops the rest. */
export async function readUpTo(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= limit) break;
  }
  return Buffer.concat(chunks).subarray(0, limit);
}

/** The one value of a header. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}
