import { randomBytes } from 'node:crypto';
import type { Credentials } from '../../../host/config/docker-config.ts';
import type { Channel } from '../../grpc/channel.ts';
import { Code } from '../../grpc/code.ts';
import { serviceClient } from '../../grpc/service-client.ts';
import { hasCode } from '../../grpc/status.ts';
import { Auth } from '../../proto/gen/session/auth_pb.ts';
import type { TokenRequest } from '../../registry/authorizer.ts';
import { SessionError } from '../session.ts';
import { isSignedBy } from './token-authority.ts';

const PATIENCE = 60_000;
const PUBLIC_KEY = 32;
const PAYLOAD = 32;
const CLIENT_ID = 'buildkit-client';
const DEFAULT_LIFETIME = 60;
/** The share of its lifetime for which a token is used. */
const USED = 0.9;

/** Makes the authorities that clients prove here worthless to other daemons. */
const salt = randomBytes(32);

/** The credentials of a session's client for a host; undefined when it has none or gives none. Rejects with StatusError. */
export async function sessionCredentials(
  channel: Channel,
  host: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  try {
    const options = { signal, timeout: PATIENCE };
    const { Username: username, Secret: secret } = await serviceClient(Auth, channel).credentials(
      { Host: host },
      options,
    );
    if (secret === '') return undefined;
    return username === '' ? { identityToken: secret } : { username, password: secret };
  } catch (error) {
    if (hasCode(error, Code.unimplemented)) return undefined;
    throw error;
  }
}

/** Tokens that clients fetched themselves, so that this daemon never saw their secrets. */
export interface SessionTokens {
  /**
   * A token for a request, fetched by a session's client or by another one that proved to be the same. Undefined for a client
   * that leaves fetching to us. Rejects with StatusError, and with SessionError for a client whose key is none.
   */
  get(channel: Channel, request: TokenRequest, signal: AbortSignal): Promise<string | undefined>;
}

interface HeldToken {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** No tokens yet. */
export function createSessionTokens(): SessionTokens {
  /** By host and public key, then by what they are for. */
  const held = new Map<string, Map<string, HeldToken>>();
  const proven = new WeakMap<Channel, Map<string, Uint8Array | undefined>>();

  /** The key with which a client has proved itself for a host; undefined if it does not know how. */
  async function authorityOf(channel: Channel, host: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const known = proven.get(channel) ?? new Map<string, Uint8Array | undefined>();
    proven.set(channel, known);
    if (known.has(host)) return known.get(host);
    const key = await proveAuthority(channel, host, signal);
    known.set(host, key);
    return key;
  }

  return {
    async get(channel, request, signal) {
      const { host, realm, service, scopes } = request;
      const key = await authorityOf(channel, host, signal);
      if (key === undefined) return undefined;
      const owner = `${host} ${Buffer.from(key).toString('hex')}`;
      const purpose = JSON.stringify([realm, service, ...scopes]);
      const tokens = held.get(owner) ?? new Map<string, HeldToken>();
      held.set(owner, tokens);
      const known = tokens.get(purpose);
      if (known !== undefined && known.expires > Date.now()) return known.token;
      const answer = await serviceClient(Auth, channel).fetchToken(
        { ClientID: CLIENT_ID, Host: host, Realm: realm, Service: service, Scopes: [...scopes] },
        { signal, timeout: PATIENCE },
      );
      const issuedAt = answer.IssuedAt === 0n ? Date.now() : Number(answer.IssuedAt) * 1000;
      const lifetime = Number(answer.ExpiresIn) || DEFAULT_LIFETIME;
      tokens.set(purpose, { token: answer.Token, expires: issuedAt + lifetime * 1000 * USED });
      return answer.Token;
    },
  };
}

async function proveAuthority(channel: Channel, host: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const client = serviceClient(Auth, channel);
  const options = { signal, timeout: PATIENCE };
  let key: Uint8Array;
  try {
    key = (await client.getTokenAuthority({ Host: host, Salt: salt }, options)).PublicKey;
  } catch (error) {
    if (hasCode(error, Code.unimplemented, Code.unavailable)) return undefined;
    throw error;
  }
  if (key.length !== PUBLIC_KEY) throw new SessionError(`invalid pubkey length ${key.length}`);
  const payload = randomBytes(PAYLOAD);
  const { Signed } = await client.verifyTokenAuthority({ Host: host, Salt: salt, Payload: payload }, options);
  // Anyone could name the key of another client.
  return isSignedBy(key, payload, Signed) ? key : undefined;
}
