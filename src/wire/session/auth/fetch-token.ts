import type { Credentials } from '../../../host/config/docker-config.ts';
import type { TokenRequest } from '../../registry/authorizer.ts';
import { endpointsOf } from '../../registry/endpoint.ts';
import { type Answer, type Exchange, readUpTo, type Transport } from '../../registry/transport.ts';

/** What a token service gave. */
export interface FetchedToken {
  readonly token: string;
  /** Seconds that it is good for. */
  readonly expiresIn: number;
  /** Seconds since the epoch; 0 for now. */
  readonly issuedAt: number;
}

/** A token service that did not give a token. */
class TokenError extends Error {
  override readonly name = 'TokenError';
}

const CLIENT_ID = 'buildkit-client';
const DEFAULT_LIFETIME = 60;
const LONGEST_ANSWER = 1024 * 1024;
const HEADERS_TIMEOUT = 30_000;

/**
 * Asks a token service: with credentials by OAuth2, or where it does not know that by the distribution spec's way, which is
 * also the anonymous one.
 * @throws TokenError
 */
export async function fetchToken(
  transport: Transport,
  request: TokenRequest,
  credentials: Credentials | undefined,
  signal: AbortSignal,
): Promise<FetchedToken> {
  if (credentials?.registryToken !== undefined)
    return { token: credentials.registryToken, expiresIn: DEFAULT_LIFETIME, issuedAt: 0 };
  const endpoint = endpointsOf(request.host, new Map()).at(-1);
  if (endpoint === undefined || !/^https?:\/\//.test(request.realm))
    throw new TokenError(`${request.host} names no usable token service ("${request.realm}")`);
  const ask = (exchange: Omit<Exchange, 'headersTimeout'>, url: URL): Promise<Answer> =>
    transport.exchange(endpoint, url, { ...exchange, headersTimeout: HEADERS_TIMEOUT }, signal);
  if (credentials?.password === undefined && credentials?.identityToken === undefined)
    return readToken(await ask(...simpleRequest(request, undefined)), 'failed to fetch anonymous token');

  const answer = await ask(...oauthRequest(request, credentials));
  const { status } = answer;
  // Services that know no POST answer 404 (GCR), 401 (Artifactory) or 405.
  if (status !== 404 && status !== 401 && !(status === 405 && credentials.username !== undefined))
    return readToken(answer, 'failed to fetch oauth token');
  answer.body.resume();
  return readToken(await ask(...simpleRequest(request, credentials)), 'failed to fetch oauth token');
}

type TokenExchange = readonly [exchange: Omit<Exchange, 'headersTimeout'>, url: URL];

function oauthRequest({ realm, service, scopes }: TokenRequest, credentials: Credentials): TokenExchange {
  const { username, password = '', identityToken } = credentials;
  const form = new URLSearchParams({ client_id: CLIENT_ID, service });
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  if (identityToken !== undefined) {
    form.set('grant_type', 'refresh_token');
    form.set('refresh_token', identityToken);
  } else {
    form.set('grant_type', 'password');
    form.set('username', username ?? '');
    form.set('password', password);
  }
  const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
  return [{ method: 'POST', headers, body: form.toString() }, new URL(realm)];
}

function simpleRequest({ realm, service, scopes }: TokenRequest, credentials: Credentials | undefined): TokenExchange {
  const url = new URL(realm);
  if (service !== '') url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials === undefined) return [{ method: 'GET', headers: {} }, url];
  const secret = credentials.identityToken ?? credentials.password ?? '';
  const basic = Buffer.from(`${credentials.username ?? ''}:${secret}`).toString('base64');
  return [{ method: 'GET', headers: { authorization: `Basic ${basic}` } }, url];
}

async function readToken(answer: Answer, failed: string): Promise<FetchedToken> {
  const text = (await readUpTo(answer, LONGEST_ANSWER)).toString();
  if (answer.status < 200 || answer.status >= 400)
    throw new TokenError(`${failed}: unexpected status: ${answer.status}`);
  let json: {
    readonly token?: unknown;
    readonly access_token?: unknown;
    readonly expires_in?: unknown;
    readonly issued_at?: unknown;
  };
  try {
    json = JSON.parse(text) ?? {};
  } catch (cause) {
    throw new TokenError(`${failed}: the token service answered no JSON`, { cause });
  }
  const token = json.access_token || json.token;
  if (typeof token !== 'string' || token === '') throw new TokenError(`${failed}: no token in the answer`);
  const issuedAt = typeof json.issued_at === 'string' ? Math.floor(Date.parse(json.issued_at) / 1000) : 0;
  return {
    token,
    expiresIn: typeof json.expires_in === 'number' && json.expires_in > 0 ? json.expires_in : DEFAULT_LIFETIME,
    issuedAt: Number.isFinite(issuedAt) && issuedAt > 0 ? issuedAt : 0,
  };
}
