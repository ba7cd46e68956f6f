/** HTTP for object stores: over the transport that registries use, with retries. */
import { setTimeout as delay } from 'node:timers/promises';
import { DEFAULT_REGISTRY_HOST } from '../../../host/config/buildkitd-toml.ts';
import type { Endpoint } from '../../../wire/registry/endpoint.ts';
import { networkError } from '../../../wire/registry/registry-error.ts';
import {
  type Answer,
  createTransport,
  headerOf,
  type RequestBody,
  readUpTo,
} from '../../../wire/registry/transport.ts';
import { RemoteCacheError } from './content-place.ts';

export interface ObjectRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  /** Made anew for each attempt: signatures carry the time. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Made anew for each attempt. */
  readonly body?: () => RequestBody;
  /** Statuses that are answers; others are failures. */
  readonly accept: readonly number[];
  /** What it is about, for messages. */
  readonly what: string;
}

export interface ObjectHttp extends AsyncDisposable {
  /**
   * Sends a request. What the network or the server fails of, and 429, is tried again.
   *
   * @throws RemoteCacheError
   */
  send(url: URL, request: ObjectRequest, signal: AbortSignal): Promise<Answer>;
}

export interface ObjectHttpOptions {
  readonly attempts?: number;
  /** The first pause, in milliseconds; it doubles. */
  readonly pause?: number;
  /** Milliseconds without a byte after which an exchange fails. */
  readonly silence?: number;
}

const longestPause = 90_000;
const mostOfMessage = 1024;

export function objectHttp({ attempts = 5, pause = 1000, silence = 60_000 }: ObjectHttpOptions = {}): ObjectHttp {
  const transport = createTransport(silence);

  async function attempt(url: URL, request: ObjectRequest, count: number, signal: AbortSignal): Promise<Answer> {
    const body = request.body?.();
    const headers = request.headers();
    try {
      const exchange = {
        method: request.method,
        headers,
        headersTimeout: silence,
        ...(body === undefined ? {} : { body }),
      };
      return await transport.exchange(endpointOf(url), url, exchange, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw networkError(url.host, request.what, silence, count, cause);
    }
  }

  return {
    async send(url, request, signal) {
      let wait = pause;
      for (let count = 1; ; count++) {
        const isLast = count >= attempts;
        let after: number | undefined;
        try {
          const answer = await attempt(url, request, count, signal);
          if (request.accept.includes(answer.status)) return answer;
          const failure = await statusError(url, request, answer);
          if (isLast || (answer.status < 500 && answer.status !== 429)) throw failure;
          after = Number(headerOf(answer, 'retry-after')) * 1000;
        } catch (error) {
          if (isLast || signal.aborted || error instanceof RemoteCacheError) throw error;
        }
        await delay(Math.min(after || wait, longestPause), undefined, { signal });
        wait *= 2;
      }
    },
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

async function statusError(url: URL, { what }: ObjectRequest, answer: Answer): Promise<RemoteCacheError> {
  const text = (await readUpTo(answer, mostOfMessage)).toString();
  const said = /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? /"(?:msg|message)"\s*:\s*"([^"]*)"/.exec(text)?.[1];
  return new RemoteCacheError(`${url.host} answered ${answer.status} for ${what}${said ? ` (${said})` : ''}`);
}

function endpointOf(url: URL): Endpoint {
  return {
    scheme: url.protocol === 'http:' ? 'http' : 'https',
    host: url.host,
    prefix: '',
    mirror: false,
    fallbackToHttp: false,
    config: DEFAULT_REGISTRY_HOST,
  };
}
