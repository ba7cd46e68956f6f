import { familiarReference, parseReference } from '../../wire/oci/reference.ts';
import type { CacheRequest, SecretRequest, SshRequest } from '../builder/request.ts';
import { csvFields, csvMap } from './csv.ts';
import { UsageError } from './errors.ts';

/**
 * `KEY=VALUE` flags as a map. A key alone takes its value from the environment, and is left out when it is not set there.
 * @throws UsageError for an empty key.
 */
export function parseKeyValues(
  values: readonly string[],
  flag: string,
  environment: Readonly<Record<string, string | undefined>>,
): Map<string, string> {
  const map = new Map<string, string>();
  for (const value of values) {
    const equals = value.indexOf('=');
    const key = equals < 0 ? value : value.slice(0, equals);
    if (key === '') throw new UsageError(`${flag} ${value}: expected KEY=VALUE`);
    const given = equals < 0 ? environment[key] : value.slice(equals + 1);
    if (given !== undefined) map.set(key, given);
  }
  return map;
}

/** `--label KEY=VALUE`; a key alone has an empty value. */
export function parseLabels(values: readonly string[]): Map<string, string> {
  return new Map(
    values.map(value => {
      const equals = value.indexOf('=');
      if (equals === 0 || value === '') throw new UsageError(`--label ${value}: expected KEY=VALUE`);
      return equals < 0 ? [value, ''] : [value.slice(0, equals), value.slice(equals + 1)];
    }),
  );
}

/** `--build-context NAME=PATH|URL|docker-image://REF|oci-layout://PATH`; names are image references. */
export function parseNamedContexts(values: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const value of values) {
    const equals = value.indexOf('=');
    if (equals <= 0 || equals === value.length - 1) {
      throw new UsageError(
        `--build-context ${value}: expected NAME=PATH, NAME=URL, NAME=docker-image://REF or NAME=oci-layout://PATH`,
      );
    }
    map.set(contextName(value.slice(0, equals)), value.slice(equals + 1));
  }
  return map;
}

/** As the Dockerfile names it, whichever spelling of the reference the flag has: without Docker Hub and `:latest`. */
function contextName(name: string): string {
  try {
    return familiarReference(parseReference(name)).replace(/:latest$/, '');
  } catch (cause) {
    throw new UsageError(`--build-context: invalid context name ${name}: ${(cause as Error).message}`, { cause });
  }
}

/** @throws UsageError for a name that no image can have */
export function checkTag(tag: string): string {
  try {
    parseReference(tag);
    return tag;
  } catch (cause) {
    throw new UsageError(`--tag ${tag}: ${(cause as Error).message}; expected NAME[:TAG]`, { cause });
  }
}

const SECRET_KEYS = new Set(['id', 'src', 'source', 'env', 'type']);

/** `--secret id=NAME[,src=FILE|,env=VARIABLE]`; with neither, the variable or the file named like the id. */
export function parseSecret(value: string, environment: Readonly<Record<string, string | undefined>>): SecretRequest {
  const map = csvMap(value, '--secret');
  for (const key of map.keys()) {
    if (!SECRET_KEYS.has(key))
      throw new UsageError(`--secret ${value}: unexpected key ${key}; it takes id, src, env and type`);
  }
  const type = map.get('type');
  if (type !== undefined && type !== 'file' && type !== 'env') {
    throw new UsageError(`--secret ${value}: unsupported secret type ${type}; it is file or env`);
  }
  const source = map.get('src') ?? map.get('source');
  const env = map.get('env') ?? (type === 'env' ? (source ?? map.get('id')) : undefined);
  const id = map.get('id');
  if (!id) throw new UsageError(`--secret ${value}: id is required`);
  if (env !== undefined) return { id, env };
  if (source !== undefined) return { id, file: source };
  return type !== 'file' && environment[id] !== undefined ? { id, env: id } : { id, file: id };
}

/** `--ssh default|ID[=SOCKET|KEY[,KEY]]`. */
export function parseSsh(value: string): SshRequest {
  const equals = value.indexOf('=');
  if (equals < 0) return { id: value === '' ? 'default' : value, paths: [] };
  return { id: value.slice(0, equals), paths: value.slice(equals + 1).split(',') };
}

/** `--cache-from` and `--cache-to`: references alone, or `type=…` and its attributes. */
export function parseCache(value: string, flag: string): CacheRequest[] {
  const fields = csvFields(value);
  if (!value.includes('=')) return fields.map(ref => ({ type: 'registry', attributes: { ref } }));
  const map = csvMap(value, flag);
  const type = map.get('type');
  if (!type) throw new UsageError(`${flag} ${value}: type is required: registry, local, inline, gha, s3 or azblob`);
  map.delete('type');
  return [{ type, attributes: Object.fromEntries(map) }];
}

/** `--add-host NAME:IP,…` and `NAME=IP,…` as `NAME=IP` each; brackets around an IPv6 address fall away. */
export function parseAddHosts(value: string): string[] {
  return csvFields(value).map(parseAddHost);
}

function parseAddHost(value: string): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(value);
  if (!match) throw new UsageError(`--add-host ${value}: expected NAME:IP`);
  const address = (match[2] ?? '').replace(/^\[(.*)\]$/, '$1');
  if (address !== 'host-gateway' && !/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(address)) {
    throw new UsageError(`--add-host ${value}: ${address} is no IP address`);
  }
  return `${match[1]}=${address}`;
}

/** `--ulimit NAME=SOFT[:HARD]`, checked and handed on as it is. */
export function parseUlimit(value: string): string {
  if (!/^[a-z]+=-?\d+(:-?\d+)?$/.test(value)) throw new UsageError(`--ulimit ${value}: expected NAME=SOFT[:HARD]`);
  return value;
}
