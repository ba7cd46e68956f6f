import type { Credentials } from '../../host/config/docker-config.ts';
import { type Challenge, mergeScopes, parseChallenges } from './challenge.ts';
import type { Endpoint } from './endpoint.ts';
import { loginCommand, RegistryError } from './registry-error.ts';

/** Which token of a registry is wanted. */
export interface TokenRequest {
  readonly host: string;
  /** URL of the token service. */
  readonly realm: string;
  readonly service: string;
  /** `repository:library/alpine:pull`, … */
  readonly scopes: readonly string[];
}

/** Gets a token without a secret of ours; undefined where credentials have to do. */
export type TokenSource = (request: TokenRequest, signal: AbortSignal) => Promise<string | undefined>;

/** Tells the start of fetching a token, as `repository:library/alpine:pull`; returns what is called at its end. */
export type TokenListener = (host: string, scopes: readonly string[]) => (error?: unknown) => void;

/** One request to a token service and its answer, read whole. */
export type TokenExchange = (
  endpoint: Endpoint,
  url: URL,
  init: { readonly method: 'GET' | 'POST'; readonly headers: Record<string, string>; readonly body?: string },
  signal: AbortSignal,
) => Promise<{ readonly status: number; readonly text: string }>;

/** Knows how to prove to each server who asks. */
export interface Authorizer {
  /** The `Authorization` header for a request with these scopes, as far as the server's ways are known. */
  header(endpoint: Endpoint, scopes: readonly string[], signal: AbortSignal): Promise<string | undefined>;
  /**
   * Takes in an answer 401.
   * @param sent the header that the request had
   * @returns whether asking again has a chance
   */
  challenged(
    endpoint: Endpoint,
    challenges: string | readonly string[] | undefined,
    sent: string | undefined,
  ): Promise<boolean>;
  /** The name of the account that is used, for messages. */
  user(endpoint: Endpoint): Promise<string | undefined>;
}

interface Token {
  readonly header: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

interface HostState {
  credentials?: Promise<Credentials | undefined>;
  challenge?: Challenge;
  /** Tokens by their merged scopes; requests that need the same one wait for the same answer. */
  readonly tokens: Map<string, Promise<Token>>;
}

const CLIENT_ID = 'outcrop';
/** The distribution token spec lets a server leave the lifetime out. */
const DEFAULT_LIFETIME = 60;
const EXPIRY_MARGIN_MS = 10_000;
const GIVEN_MS = 1000;

/** An authorizer that asks `credentials` once per host, again when they are refused, and only when a server wants them and `tokens` has none. */
export function createAuthorizer(options: {
  readonly credentials: (host: string, signal: AbortSignal) => Promise<Credentials | undefined>;
  readonly tokens?: TokenSource | undefined;
  readonly exchange: TokenExchange;
  readonly onToken: TokenListener;
  /** Ends with the client: what one request waits for serves others too, so no single request's signal may end it. */
  readonly lifetime: AbortSignal;
}): Authorizer {
  const states = new Map<string, HostState>();
  const stateOf = (endpoint: Endpoint): HostState => {
    const key = `${endpoint.scheme}://${endpoint.host}`;
    let state = states.get(key);
    if (state === undefined) {
      state = { tokens: new Map() };
      states.set(key, state);
    }
    return state;
  };
  const credentialsOf = (endpoint: Endpoint): Promise<Credentials | undefined> => {
    const state = stateOf(endpoint);
    state.credentials ??= options.credentials(endpoint.host, options.lifetime);
    return state.credentials;
  };

  const tokenHeader = async (endpoint: Endpoint, challenge: Challenge, scopes: readonly string[]): Promise<string> => {
    const state = stateOf(endpoint);
    const wanted = mergeScopes(scopes);
    const key = wanted.join(' ');
    const known = state.tokens.get(key);
    if (known !== undefined) {
      const token = await known.catch(() => undefined);
      if (token !== undefined && token.expires > Date.now() + EXPIRY_MARGIN_MS) return token.header;
      if (state.tokens.get(key) !== known) return tokenHeader(endpoint, challenge, scopes);
    }
    const fetched = fetchToken(endpoint, challenge, wanted);
    state.tokens.set(key, fetched);
    return (await fetched).header;
  };

  const givenToken = async ({ host }: Endpoint, { parameters }: Challenge, scopes: readonly string[]) => {
    const realm = parameters.get('realm') ?? '';
    const service = parameters.get('service') ?? '';
    return options.tokens?.({ host, realm, service, scopes }, options.lifetime);
  };

  const fetchToken = async (endpoint: Endpoint, challenge: Challenge, scopes: readonly string[]): Promise<Token> => {
    const given = await givenToken(endpoint, challenge, scopes);
    // Who gives it knows how long it is good for: it is asked again soon.
    if (given !== undefined) return { header: `Bearer ${given}`, expires: Date.now() + EXPIRY_MARGIN_MS + GIVEN_MS };
    const credentials = await credentialsOf(endpoint);
    if (credentials?.registryToken !== undefined) {
      return { header: `Bearer ${credentials.registryToken}`, expires: Number.POSITIVE_INFINITY };
    }
    const done = options.onToken(endpoint.host, scopes);
    try {
      const token = await requestToken(options.exchange, endpoint, challenge, scopes, credentials, options.lifetime);
      done();
      return token;
    } catch (error) {
      done(error);
      throw error;
    }
  };

  return {
    async header(endpoint, scopes, signal) {
      const { challenge } = stateOf(endpoint);
      if (challenge === undefined) return undefined;
      if (challenge.scheme === 'basic') return basicHeader(await abortable(credentialsOf(endpoint), signal));
      const extra = challenge.parameters.get('scope');
      return abortable(
        tokenHeader(endpoint, challenge, scopes.length > 0 || extra === undefined ? scopes : [extra]),
        signal,
      );
    },
    async challenged(endpoint, headers, sent) {
      const state = stateOf(endpoint);
      const offered = parseChallenges(headers);
      const challenge = offered.find(c => c.scheme === 'bearer') ?? offered.find(c => c.scheme === 'basic');
      if (challenge === undefined) return false;
      if (challenge.scheme === 'basic') {
        state.challenge = challenge;
        let header = basicHeader(await credentialsOf(endpoint));
        if (header !== undefined && header === sent) {
          // They were taken back, or somebody else asks by now.
          delete state.credentials;
          header = basicHeader(await credentialsOf(endpoint));
        }
        return header !== undefined && header !== sent;
      }
      const first = state.challenge?.scheme !== 'bearer';
      state.challenge = challenge;
      if (sent === undefined) return true;
      // The token was refused: it may have been revoked or the clocks differ. One new token is worth asking for.
      for (const [key, token] of state.tokens) {
        const known = await token.catch(() => undefined);
        if (known === undefined || known.header === sent) state.tokens.delete(key);
      }
      return first || !sent.startsWith('Basic ');
    },
    async user(endpoint) {
      const { credentials } = stateOf(endpoint);
      const found = await credentials?.catch(() => undefined);
      return found === undefined ? undefined : (found.username ?? 'the stored token');
    },
  };
}

function basicHeader(credentials: Credentials | undefined): string | undefined {
  if (credentials?.registryToken !== undefined) return `Bearer ${credentials.registryToken}`;
  if (credentials?.username === undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password ?? ''}`).toString('base64')}`;
}

/** Distribution's token authentication, and its OAuth2 form when all there is is an identity token. */
async function requestToken(
  exchange: TokenExchange,
  endpoint: Endpoint,
  challenge: Challenge,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  signal: AbortSignal,
): Promise<Token> {
  const { host } = endpoint;
  const realm = challenge.parameters.get('realm') ?? '';
  if (!/^https?:\/\//.test(realm)) {
    throw new RegistryError('refused', `${host} names no usable token service ("${realm}")`, { host });
  }
  const url = new URL(realm);
  const service = challenge.parameters.get('service') ?? '';
  const oauth = credentials?.identityToken;
  let answer: { status: number; text: string };
  if (oauth !== undefined) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: oauth,
      service,
      scope: scopes.join(' '),
      client_id: CLIENT_ID,
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    answer = await exchange(endpoint, url, { method: 'POST', headers, body: form.toString() }, signal);
  } else {
    if (service !== '') url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    const header = basicHeader(credentials);
    answer = await exchange(
      endpoint,
      url,
      { method: 'GET', headers: header === undefined ? {} : { authorization: header } },
      signal,
    );
  }
  if (answer.status !== 200) throw tokenError(endpoint, url, answer.status, credentials);
  return readToken(answer.text, host, url);
}

function tokenError(endpoint: Endpoint, url: URL, status: number, credentials: Credentials | undefined): RegistryError {
  const { host } = endpoint;
  if (status === 401 || status === 403 || status === 400) {
    const user = credentials?.username ?? (credentials === undefined ? 'an anonymous user' : 'the stored token');
    const message = `authorization failed for ${host}: ${url.host} refused ${user} (${status}), run "${loginCommand(host)}"`;
    return new RegistryError('unauthorized', message, { host, status });
  }
  return new RegistryError('unavailable', `the token service ${url.host} of ${host} answered ${status}`, {
    host,
    status,
  });
}

function readToken(text: string, host: string, url: URL): Token {
  let json: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    json = JSON.parse(text) ?? {};
  } catch (cause) {
    throw new RegistryError('refused', `the token service ${url.host} of ${host} answered no JSON`, { host, cause });
  }
  const token = json.token ?? json.access_token;
  if (typeof token !== 'string' || token === '') {
    throw new RegistryError('refused', `the token service ${url.host} of ${host} gave no token`, { host });
  }
  const seconds = typeof json.expires_in === 'number' && json.expires_in > 0 ? json.expires_in : DEFAULT_LIFETIME;
  return { header: `Bearer ${token}`, expires: Date.now() + Math.max(seconds, DEFAULT_LIFETIME) * 1000 };
}

/** Waits for what others wait for too, leaving it running when the signal ends only this wait. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
