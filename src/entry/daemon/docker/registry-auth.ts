import type { IncomingHttpHeaders } from 'node:http';
import type { RegistryAccess } from '../../../wire/registry/client.ts';

type Credentials = NonNullable<RegistryAccess['credentials']>;
type Login = Awaited<ReturnType<Credentials>>;

/** What clients call the registry that needs no name. */
const HUB = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io'];

/** The credentials that a client sends for the one registry that its request is about. */
export function credentialsOfRequest(headers: IncomingHttpHeaders): Credentials {
  const login = loginOf(decode(headers['x-registry-auth']));
  return async () => login;
}

/** The credentials that a client sends along with a build, for whatever registry it comes to. */
export function credentialsOfBuild(headers: IncomingHttpHeaders): Credentials {
  const config = decode(headers['x-registry-config']);
  return async host => {
    const names = HUB.includes(host) ? HUB : [host, `https://${host}`, `http://${host}`];
    const found = names.find(name => Object.hasOwn(config, name));
    return found === undefined ? undefined : loginOf(config[found]);
  };
}

/** Base64 of JSON; what cannot be read counts as nothing (docker-api facts, 3.1). */
function decode(header: string | readonly string[] | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(String(header ?? ''), 'base64url').toString());
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function loginOf(value: unknown): Login {
  if (typeof value !== 'object' || value === null) return undefined;
  const text = (name: string): string => {
    const member: unknown = Reflect.get(value, name);
    return typeof member === 'string' ? member : '';
  };
  const [username, password, identityToken, registryToken] = [
    text('username'),
    text('password'),
    text('identitytoken'),
    text('registrytoken'),
  ];
  if (identityToken !== '') return { ...(username === '' ? {} : { username }), identityToken };
  if (registryToken !== '') return { registryToken };
  return username === '' ? undefined : { username, password };
}
