import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What a registry or its token service is told about who asks. */
export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  /** An OAuth refresh token, used in place of a password. */
  readonly identityToken?: string;
  /** A bearer token that is sent as it is. */
  readonly registryToken?: string;
}

/** Proxies that Docker sets as build arguments, per daemon address or `default`. */
interface ProxyConfig {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly ftpProxy?: string;
  readonly noProxy?: string;
  readonly allProxy?: string;
}

/** The part of `~/.docker/config.json` that building needs. */
export interface DockerConfig {
  readonly auths: ReadonlyMap<string, Credentials>;
  /** Helper program's suffix per registry: `ecr-login` stands for `docker-credential-ecr-login`. */
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore?: string;
  readonly httpHeaders: ReadonlyMap<string, string>;
  readonly proxies: ReadonlyMap<string, ProxyConfig>;
  readonly currentContext?: string;
}

/** A config file or credential helper that is there but does not work. */
class DockerConfigError extends Error {
  override readonly name = 'DockerConfigError';
}

/** Docker Hub's key in `auths` and at helpers, whichever of its hosts is asked. */
const HUB_KEY = 'https://index.docker.io/v1/';
const HUB_HOSTS = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);
const TOKEN_USER = '<token>';

/** The directory of Docker's client configuration: `$DOCKER_CONFIG`, else `~/.docker`. */
export function dockerConfigDir(env: NodeJS.ProcessEnv): string {
  return env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker');
}

/**
 * Reads `config.json` of Docker's configuration directory, and over it the JSON in `$DOCKER_AUTH_CONFIG`. A missing file is
 * an empty configuration.
 * @throws DockerConfigError when a file is there and cannot be read
 */
export async function loadDockerConfig(env: NodeJS.ProcessEnv): Promise<DockerConfig> {
  const file = join(dockerConfigDir(env), 'config.json');
  let text = '{}';
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (!isMissing(cause)) throw new DockerConfigError(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  const config = parseDockerConfig(text, file);
  const extra = env['DOCKER_AUTH_CONFIG'];
  if (extra === undefined || extra === '') return config;
  const { auths } = parseDockerConfig(extra, '$DOCKER_AUTH_CONFIG');
  return { ...config, auths: new Map([...config.auths, ...auths]) };
}

/**
 * Reads the text of a `config.json`.
 * @param source its path, for messages
 * @throws DockerConfigError
 */
export function parseDockerConfig(text: string, source: string): DockerConfig {
  let json: unknown;
  try {
    json = JSON.parse(text === '' ? '{}' : text);
  } catch (cause) {
    throw new DockerConfigError(`${source} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isObject(json)) throw new DockerConfigError(`${source} must be a JSON object`);
  const auths = new Map(entries(json['auths']).map(([key, value]) => [key, readAuth(value, key, source)]));
  const proxies = new Map(
    entries(json['proxies']).map(([key, value]) => [key, Object.fromEntries(stringEntries(value)) as ProxyConfig]),
  );
  const credsStore = json['credsStore'];
  const currentContext = json['currentContext'];
  return {
    auths,
    credHelpers: new Map(stringEntries(json['credHelpers'])),
    ...(typeof credsStore === 'string' && credsStore !== '' ? { credsStore } : {}),
    httpHeaders: new Map(stringEntries(json['HttpHeaders'])),
    proxies,
    ...(typeof currentContext === 'string' && currentContext !== '' ? { currentContext } : {}),
  };
}

/**
 * The credentials for a registry host, from its helper, else from the default store, else from the file; `undefined` when
 * there are none.
 * @param host with its port, as in image references; Docker Hub's hosts all mean the same
 * @throws DockerConfigError when a helper fails
 */
export async function credentialsFor(
  config: DockerConfig,
  host: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const key = HUB_HOSTS.has(host) ? HUB_KEY : host;
  const helper = config.credHelpers.get(key) ?? config.credHelpers.get(host) ?? config.credsStore;
  if (helper !== undefined) {
    const found = await askHelper(helper, key, signal);
    if (found !== undefined) return found;
  }
  const exact = config.auths.get(key);
  if (exact !== undefined) return orUndefined(exact);
  for (const [name, credentials] of config.auths) {
    if (hostname(name) === hostname(key)) return orUndefined(credentials);
  }
  return undefined;
}

function orUndefined(credentials: Credentials): Credentials | undefined {
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}

/** Older files have keys such as `https://host/v1/`. */
function hostname(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function readAuth(value: unknown, key: string, source: string): Credentials {
  if (!isObject(value)) return {};
  const text = (name: string) => (typeof value[name] === 'string' && value[name] !== '' ? value[name] : undefined);
  let username = text('username');
  let password = text('password');
  const auth = text('auth');
  if (auth !== undefined) {
    const decoded = Buffer.from(auth, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon <= 0) throw new DockerConfigError(`${source}: the auth entry of ${key} is not base64 of user:password`);
    username = decoded.slice(0, colon);
    password = decoded.slice(colon + 1).replace(/\0+$/, '');
  }
  const identityToken = text('identitytoken');
  const registryToken = text('registrytoken');
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(identityToken === undefined ? {} : { identityToken }),
    ...(registryToken === undefined ? {} : { registryToken }),
  };
}

/** Runs `docker-credential-<helper> get` with the registry's key on its standard input. */
async function askHelper(helper: string, key: string, signal: AbortSignal): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  const { code, stdout, stderr } = await run(program, key, signal);
  const message = (stdout.trim() || stderr.trim()).split('\n')[0] ?? '';
  if (code !== 0) {
    if (/credentials not found/i.test(message)) return undefined;
    throw new DockerConfigError(`${program} failed for ${key}: ${message || `exit code ${code}`}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(stdout);
  } catch (cause) {
    throw new DockerConfigError(`${program} answered something that is not JSON for ${key}`, { cause });
  }
  const { Username: username, Secret: secret } = isObject(json) ? json : {};
  if (typeof secret !== 'string' || secret === '') return undefined;
  if (username === TOKEN_USER) return { identityToken: secret };
  return { ...(typeof username === 'string' && username !== '' ? { username } : {}), password: secret };
}

function run(
  program: string,
  input: string,
  signal: AbortSignal,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'pipe'], signal });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.on('error', cause => {
      // What the helper itself started may still hold the pipes.
      child.stdout.destroy();
      child.stderr.destroy();
      if (signal.aborted) reject(signal.reason);
      else
        reject(
          new DockerConfigError(`cannot run ${program}, named in Docker's config.json: ${cause.message}`, { cause }),
        );
    });
    child.on('close', code => resolve({ code: code ?? 1, stdout, stderr }));
    // A helper that ends without reading its input must not end us.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function entries(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

function stringEntries(value: unknown): [string, string][] {
  return entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}
