import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecureContext } from 'node:tls';
import { DEFAULT_REGISTRY_HOST, type RegistryHostConfig } from '../../host/config/buildkitd-toml.ts';

/** One server that may answer for a registry: the registry itself, or a mirror of it. */
export interface Endpoint {
  readonly scheme: 'http' | 'https';
  /** Host with its port. */
  readonly host: string;
  /** What stands before the repository: `/v2`, or `/v2/path` for a mirror below a path. */
  readonly prefix: string;
  readonly mirror: boolean;
  /** The registry that a mirror is asked to stand for, sent as `ns`. */
  readonly namespace?: string;
  /** After HTTPS failed, plain HTTP may be tried (`http` and `insecure` together). */
  readonly fallbackToHttp: boolean;
  readonly config: RegistryHostConfig;
}

/** TLS settings in the names of Node's `tls.connect`. */
export interface TlsOptions {
  /** Made once: parsing the authorities again for each connection would cost more than the handshake. */
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
}

/**
 * The servers to ask for a registry, in order: its mirrors, then itself. Docker Hub's is `registry-1.docker.io`.
 * @param domain registry of an image reference
 */
export function endpointsOf(domain: string, configs: ReadonlyMap<string, RegistryHostConfig>): Endpoint[] {
  const own = configs.get(domain) ?? DEFAULT_REGISTRY_HOST;
  const mirrors = own.mirrors.map(mirror => {
    const [host = '', ...path] = mirror.replace(/^https?:\/\//, '').split('/');
    const prefix = ['/v2', ...path.filter(Boolean)].join('/');
    return makeEndpoint(host, prefix, true, configs.get(host) ?? DEFAULT_REGISTRY_HOST, domain);
  });
  return [
    ...mirrors,
    makeEndpoint(domain === 'docker.io' ? 'registry-1.docker.io' : domain, '/v2', false, own, domain),
  ];
}

function makeEndpoint(
  host: string,
  prefix: string,
  mirror: boolean,
  config: RegistryHostConfig,
  domain: string,
): Endpoint {
  const plain = config.http ?? isLoopback(host);
  const fallbackToHttp = plain && config.insecure === true;
  return {
    scheme: plain && !fallbackToHttp ? 'http' : 'https',
    host,
    prefix,
    mirror,
    ...(mirror && host !== domain ? { namespace: domain } : {}),
    fallbackToHttp,
    config,
  };
}

/** Whether the host, with or without a port, is this machine by name or address. */
export function isLoopback(host: string): boolean {
  const name = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Reads the certificates that an endpoint is configured with. Fails as `readFile` does. */
export async function tlsOptionsOf(config: RegistryHostConfig): Promise<TlsOptions> {
  const ca = [...config.ca];
  const keypairs = [...config.keypairs];
  for (const dir of config.tlsConfigDirs) {
    for (const name of (await listDirectory(dir)).sort()) {
      if (name.endsWith('.crt')) ca.push(join(dir, name));
      if (name.endsWith('.cert')) {
        keypairs.push({ cert: join(dir, name), key: join(dir, name.replace(/\.cert$/, '.key')) });
      }
    }
  }
  const read = (files: string[]) => Promise.all(files.map(file => readFile(file, 'utf8')));
  const own = await read(ca);
  const cert = await read(keypairs.map(pair => pair.cert));
  const key = await read(keypairs.map(pair => pair.key));
  const { createSecureContext, getCACertificates } = await import('node:tls');
  const authorities = [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...own])];
  return {
    secureContext: createSecureContext({ ca: authorities, ...(cert.length === 0 ? {} : { cert, key }) }),
    rejectUnauthorized: config.insecure !== true,
  };
}

async function listDirectory(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'EACCES') return [];
    throw error;
  }
}
