import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientTls, dialerFor } from '../../wire/grpc/dial.ts';
import { BuildRequestError } from '../builder/frontend-options.ts';

/** Where a BuildKit daemon is, and how its connection is secured. */
export interface BuilderAddress {
  readonly address: string;
  /** Nothing for a connection that is not encrypted, or that a program of its own encrypts. */
  readonly tls?: ClientTls;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TLS_FILES = ['cacert', 'cert', 'key'] as const;
const OPTIONS = [...TLS_FILES, 'servername', 'tlsdir'];

/**
 * Reads the values of `--builder`: `ADDRESS[,cacert=FILE][,cert=FILE][,key=FILE][,servername=NAME][,tlsdir=DIR]`, where DIR has
 * `ca.pem`, `cert.pem` and `key.pem` as for `buildctl --tlsdir`; several addresses in one value or in several. A `tcp://`
 * address without options takes the files of `$DOCKER_CERT_PATH` if `$DOCKER_TLS_VERIFY` is set.
 * @throws BuildRequestError for options that mean nothing and files that cannot be read, AddressError for an address
 */
export function parseBuilderAddresses(values: readonly string[], environment: Environment): BuilderAddress[] {
  const found: { readonly address: string; readonly options: Map<string, string> }[] = [];
  for (const field of values.flatMap(value => value.split(',')).filter(text => text !== '')) {
    const [, name = '', option = ''] = /^([a-z]+)=(.*)$/s.exec(field) ?? [];
    const last = found.at(-1);
    if (!OPTIONS.includes(name)) found.push({ address: field, options: new Map() });
    else if (last) last.options.set(name, option);
    else throw new BuildRequestError(`--builder ${field}: the address comes first, its options after it`);
  }
  return found.map(({ address, options }) => {
    const tls = tlsOf(address, options, environment);
    dialerFor(address, tls);
    return { address, ...(tls === undefined ? {} : { tls }) };
  });
}

function tlsOf(address: string, options: Map<string, string>, environment: Environment): ClientTls | undefined {
  const isTcp = address.startsWith('tcp://');
  if (!isTcp && options.size > 0)
    throw new BuildRequestError(`--builder ${address}: certificates are for tcp:// addresses only`);
  const fromDocker = isTcp && options.size === 0 && environment['DOCKER_TLS_VERIFY'];
  const directory = options.get('tlsdir') ?? (fromDocker ? environment['DOCKER_CERT_PATH'] : undefined);
  if (options.size === 0 && directory === undefined) return undefined;
  const files = new Map<string, string>();
  if (directory !== undefined)
    for (const [name, file] of [
      ['cacert', 'ca.pem'],
      ['cert', 'cert.pem'],
      ['key', 'key.pem'],
    ] as const)
      files.set(name, join(directory, file));
  for (const name of TLS_FILES) {
    const file = options.get(name);
    if (file !== undefined) files.set(name, file);
  }
  if (files.has('cert') !== files.has('key'))
    throw new BuildRequestError(`--builder ${address}: a certificate and its key go together: cert=FILE,key=FILE`);
  const read = (name: string): Buffer | undefined => {
    const file = files.get(name);
    return file === undefined ? undefined : readPem(address, file);
  };
  const [ca, cert, key] = TLS_FILES.map(read);
  const serverName = options.get('servername');
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

function readPem(address: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new BuildRequestError(`--builder ${address}: cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}
