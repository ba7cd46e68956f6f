import { type Credentials, credentialsFor, type DockerConfig } from '../../../host/config/docker-config.ts';
import { parseGoBool } from '../../go-bool.ts';
import { Code } from '../../grpc/code.ts';
import { type Route, serviceRoutes } from '../../grpc/service.ts';
import { StatusError } from '../../grpc/status.ts';
import { Auth } from '../../proto/gen/session/auth_pb.ts';
import { createTransport } from '../../registry/transport.ts';
import { fetchToken } from './fetch-token.ts';
import { type TokenAuthority, tokenAuthority } from './token-authority.ts';
import { tokenSeeds } from './token-seeds.ts';

/** What a client proves who it is with. */
export interface AuthOptions {
  /** Reads Docker's configuration; called again when what it gave is old. */
  readonly config: () => Promise<DockerConfig>;
  /** Where Docker's configuration is; keeps the seeds of token authorities. */
  readonly configDirectory: string;
  readonly env: NodeJS.ProcessEnv;
  /** Told, once for each text, what credentials are used for: `sharing credentials for HOST`, `SCOPES token for HOST`. */
  readonly onUse?: (text: string) => void;
}

/** The service that gives the daemon credentials and tokens for registries. Disposing ends its connections. */
export interface AuthService extends AsyncDisposable {
  readonly routes: readonly Route[];
}

/** Helpers give tokens of five minutes. */
const KEPT_MS = (4 * 60 + 50) * 1000;
const SILENCE = 30_000;

/** Makes the service. */
export function createAuthService({ config, configDirectory, env, onUse }: AuthOptions): AuthService {
  const transport = createTransport(SILENCE);
  const seeds = tokenSeeds(configDirectory);
  const told = new Set<string>();
  const kept = new Map<string, { readonly since: number; readonly credentials: Promise<Credentials | undefined> }>();

  function credentialsOf(host: string, signal: AbortSignal): Promise<Credentials | undefined> {
    const known = kept.get(host);
    if (known !== undefined && Date.now() - known.since < KEPT_MS) return known.credentials;
    const credentials = config().then(loaded => credentialsFor(loaded, host, signal));
    kept.set(host, { since: Date.now(), credentials });
    credentials.catch(() => kept.delete(host));
    return credentials;
  }

  function tell(text: string): void {
    if (told.has(text)) return;
    told.add(text);
    onUse?.(text);
  }

  async function authority(host: string, salt: Uint8Array, signal: AbortSignal): Promise<TokenAuthority> {
    if (parseGoBool(env['BUILDKIT_NO_CLIENT_TOKEN'] ?? ''))
      throw new StatusError(Code.unavailable, 'client side tokens disabled');
    const [credentials, seed] = await Promise.all([credentialsOf(host, signal), seeds.get(host, signal)]);
    return tokenAuthority(salt, hasSecret(credentials) ? seed : undefined);
  }

  const routes = serviceRoutes(Auth, {
    credentials: async ({ Host }, { signal }) => {
      const credentials = await credentialsOf(Host, signal);
      if (!hasSecret(credentials)) return {};
      tell(`sharing credentials for ${Host}`);
      const { username = '', password = '', identityToken } = credentials;
      return identityToken === undefined ? { Username: username, Secret: password } : { Secret: identityToken };
    },
    fetchToken: async ({ Host: host, Realm: realm, Service: service, Scopes: scopes }, { signal }) => {
      const credentials = await credentialsOf(host, signal);
      if (hasSecret(credentials)) {
        const shown = scopes.map(scope => scope.replace(/^repository:/, '')).join(' ');
        tell(`${shown} token for ${host}`);
      }
      const token = await fetchToken(transport, { host, realm, service, scopes }, credentials, signal);
      return { Token: token.token, ExpiresIn: BigInt(token.expiresIn), IssuedAt: BigInt(token.issuedAt) };
    },
    getTokenAuthority: async ({ Host, Salt }, { signal }) => ({
      PublicKey: (await authority(Host, Salt, signal)).publicKey,
    }),
    verifyTokenAuthority: async ({ Host, Payload, Salt }, { signal }) => ({
      Signed: (await authority(Host, Salt, signal)).sign(Payload),
    }),
  });
  return { routes, [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose]() };
}

function hasSecret(credentials: Credentials | undefined): credentials is Credentials {
  return credentials?.identityToken !== undefined || (credentials?.password ?? '') !== '';
}
