import { setTimeout as sleep } from 'node:timers/promises';
import type { Authorizer, TokenExchange } from './authorizer.ts';
import type { Endpoint } from './endpoint.ts';
import { isTlsCode, networkCode, networkError, RegistryError, statusError } from './registry-error.ts';
import {
  type Answer,
  discard,
  type Exchange,
  headerOf,
  type RequestBody,
  readUpTo,
  type Transport,
} from './transport.ts';

/** A request in the terms of the distribution API. */
export interface RegistryRequest {
  readonly method: Exchange['method'];
  /** Behind the endpoint's prefix: `/library/alpine/manifests/latest`; or a whole URL that the server gave. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for each attempt. */
  readonly body?: () => RequestBody;
  /** Rights that the token must give. */
  readonly scopes: readonly string[];
  /** Statuses that are an answer and not a failure. */
  readonly accept: readonly number[];
  /** What is asked for, for messages. */
  readonly what: string;
  readonly push?: boolean;
  /** The server may work long before it answers (it hashes a large blob). */
  readonly slow?: boolean;
  /** Attempts at most; else the sender's own limit. */
  readonly attempts?: number;
}

/** How often and how patiently is asked again. */
export interface RetryPolicy {
  readonly attempts: number;
  /** Milliseconds before the second attempt; doubled each time. */
  readonly baseDelay: number;
  /** A server that asks for a longer pause than this is not waited for, in milliseconds. */
  readonly maxDelay: number;
}

/** Sends requests with authorization, redirects and retries. */
export interface Sender {
  /** Gives an answer of an accepted status; its body is the caller's to read. Throws `RegistryError`. */
  send(endpoint: Endpoint, request: RegistryRequest, signal: AbortSignal): Promise<Answer>;
  /** Waits before the attempt that follows attempt `attempt`. */
  pause(attempt: number, signal: AbortSignal): Promise<void>;
  readonly policy: RetryPolicy;
  /** Milliseconds without a byte after which an exchange fails. */
  readonly silence: number;
}

const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 10;
const MAX_ERROR_BODY = 8192;
/** A mirror that fails has the registry behind it. */
const MIRROR_ATTEMPTS = 2;
const SLOW_FACTOR = 10;

/** A sender over a transport. */
export function createSender(
  transport: Transport,
  makeAuthorizer: (exchange: TokenExchange) => Authorizer,
  policy: RetryPolicy,
  silence: number,
): Sender {
  const pause = async (attempt: number, signal: AbortSignal, least = 0) => {
    const delay = Math.min(policy.baseDelay * 2 ** (attempt - 1), policy.maxDelay);
    // Half fixed, half random: those who failed together do not come back together.
    await sleep(Math.max(least, delay / 2 + (Math.random() * delay) / 2), undefined, { signal });
  };

  const authorizer = makeAuthorizer(async (endpoint, url, init, signal) => {
    const headersTimeout = silence;
    for (let attempt = 1; ; attempt++) {
      let status: number;
      let text: string;
      try {
        const answer = await transport.exchange(endpoint, url, { ...init, headersTimeout }, signal);
        status = answer.status;
        text = (await readUpTo(answer, 1 << 20)).toString('utf8');
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        const failed = () => networkError(url.host, `a token for ${endpoint.host}`, silence, attempt, cause);
        if (attempt >= policy.attempts || !worthRetrying(cause)) throw failed();
        await pause(attempt, signal);
        continue;
      }
      if (!RETRIED.has(status) || attempt >= policy.attempts) return { status, text };
      await pause(attempt, signal);
    }
  });

  const follow = async (
    endpoint: Endpoint,
    request: RegistryRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> => {
    let url = urlOf(endpoint, request.path);
    const { origin } = url;
    let { method } = request;
    for (let redirects = 0; ; redirects++) {
      const authorized = authorization !== undefined && url.origin === origin;
      const answer = await transport.exchange(
        endpoint,
        url,
        {
          method,
          headers: { ...request.headers, ...(authorized ? { authorization } : {}) },
          ...(request.body === undefined ? {} : { body: request.body() }),
          headersTimeout: request.slow === true ? silence * SLOW_FACTOR : silence,
        },
        signal,
      );
      const location = headerOf(answer, 'location');
      if (!REDIRECTS.has(answer.status) || location === undefined || request.accept.includes(answer.status))
        return answer;
      await discard(answer);
      if (redirects >= MAX_REDIRECTS) {
        const { host } = endpoint;
        throw new RegistryError('refused', `${host} redirects ${request.what} without end`, { host });
      }
      if (answer.status === 303 && method !== 'HEAD') method = 'GET';
      url = new URL(location, url);
    }
  };

  /** One attempt, with the answers 401 that lead to a better `Authorization`. */
  const attemptOnce = async (endpoint: Endpoint, request: RegistryRequest, signal: AbortSignal): Promise<Answer> => {
    for (let round = 0; ; round++) {
      const authorization = await authorizer.header(endpoint, request.scopes, signal);
      const answer = await follow(endpoint, request, authorization, signal);
      if (answer.status !== 401 || request.accept.includes(401) || round >= 2) return answer;
      if (!(await authorizer.challenged(endpoint, answer.headers['www-authenticate'], authorization))) return answer;
      await discard(answer);
    }
  };

  return {
    policy,
    silence,
    pause,
    async send(endpoint, request, signal) {
      const most = request.attempts ?? (endpoint.mirror ? MIRROR_ATTEMPTS : policy.attempts);
      for (let attempt = 1; ; attempt++) {
        let answer: Answer;
        let detail: string;
        try {
          answer = await attemptOnce(endpoint, request, signal);
          if (request.accept.includes(answer.status)) return answer;
          detail = errorDetail(await readUpTo(answer, MAX_ERROR_BODY));
        } catch (cause) {
          if (signal.aborted) throw signal.reason;
          if (cause instanceof RegistryError || !isNetworkFailure(cause)) throw cause;
          if (attempt >= most || !worthRetrying(cause)) {
            throw networkError(endpoint.host, request.what, silence, attempt, cause);
          }
          await pause(attempt, signal);
          continue;
        }
        const wait = retryAfter(headerOf(answer, 'retry-after'));
        if (attempt >= most || !RETRIED.has(answer.status) || wait > policy.maxDelay) {
          const user = await authorizer.user(endpoint);
          const about = { host: endpoint.host, what: request.what, push: request.push === true, user };
          throw statusError(about, answer.status, detail, attempt);
        }
        await pause(attempt, signal, wait);
      }
    },
  };
}

function urlOf(endpoint: Endpoint, path: string | URL): URL {
  if (typeof path !== 'string') return path;
  const url = new URL(`${endpoint.scheme}://${endpoint.host}${endpoint.prefix}${path}`);
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace);
  return url;
}

function isNetworkFailure(error: unknown): boolean {
  return networkCode(error) !== undefined;
}

/** Not worth it: names that do not exist, hosts that cannot be reached, certificates that are not trusted. */
function worthRetrying(error: unknown): boolean {
  const code = networkCode(error) ?? '';
  return !isTlsCode(code) && !['ENOTFOUND', 'ENETUNREACH', 'ERR_INVALID_URL'].includes(code);
}

/** Milliseconds of a `Retry-After` header, in either of its forms (RFC 9110, section 10.2.3). */
function retryAfter(value: string | undefined): number {
  if (value === undefined) return 0;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

/** The server's own words out of the distribution API's error JSON, on one line. */
function errorDetail(bytes: Buffer): string {
  const text = bytes.toString('utf8').trim();
  let found = text;
  try {
    const json = JSON.parse(text);
    const errors = Array.isArray(json?.errors) ? json.errors : [json];
    found = errors
      .map(
        (entry: { code?: unknown; message?: unknown; details?: unknown }) =>
          entry?.message || entry?.details || entry?.code,
      )
      .filter((entry: unknown) => typeof entry === 'string')
      .join('; ');
  } catch {
    // A proxy's HTML page says nothing that fits one line.
    if (text.startsWith('<')) return '';
  }
  const line = found.replace(/\s+/g, ' ');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
