import { parseGoBool } from '../../wire/go-bool.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { normalizePlatform, parsePlatform } from '../../wire/oci/platform.ts';
import { parseCsvRecord } from '../dockerfile/csv.ts';
import type { ExtraHost, LinuxResources, ResolveMode, Ulimit } from '../llb/index.ts';

/** An option that the frontend cannot take. Messages are those of BuildKit. */
export class FrontendOptionError extends Error {
  override readonly name = 'FrontendOptionError';
}

type Network = 'sandbox' | 'host' | 'none';

/** What a client asks of the Dockerfile frontend, read from its option map (`--opt` of buildctl). */
export interface FrontendOptions {
  /** As given, for options that name things: `context:<name>`, `sharedkey:…`, `input-metadata:…`. */
  readonly raw: ReadonlyMap<string, string>;
  readonly filename: string | undefined;
  readonly target: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** Normalised; none means the build platform, without being asked for. */
  readonly targetPlatforms: readonly Platform[];
  /** Whether the result is keyed by platform. */
  readonly multiPlatform: boolean;
  readonly resolveMode: ResolveMode;
  readonly extraHosts: readonly ExtraHost[];
  /** Bytes; 0 for the runtime's default. */
  readonly shmSize: bigint;
  readonly ulimits: readonly Ulimit[];
  readonly resources: LinuxResources | undefined;
  readonly network: Network;
  readonly noCache: 'all' | readonly string[];
  readonly cgroupParent: string;
  readonly hostname: string;
  /** Prefix of the ids of cache mounts. */
  readonly cacheNamespace: string;
  /** Sessions that serve a local directory instead of the client's own, by name of the directory. */
  readonly localSessions: ReadonlyMap<string, string>;
}

/** Reads the options. @throws FrontendOptionError, PlatformError */
export function parseFrontendOptions(raw: ReadonlyMap<string, string>): FrontendOptions {
  const get = (key: string) => raw.get(key) ?? '';
  if (get('override-copy-image') !== '') {
    throw new FrontendOptionError('support for "override-copy-image" was removed in BuildKit 0.11');
  }
  if (parseGoBool(get('build-arg:BUILDKIT_DISABLE_FILEOP')) === true) {
    throw new FrontendOptionError('support for "BUILDKIT_DISABLE_FILEOP" build-arg was removed in BuildKit 0.11');
  }
  checkCapabilities(get('frontend.caps'));
  const targetPlatforms = parsePlatforms(get('platform'));
  return {
    raw,
    filename: raw.get('filename'),
    target: get('target'),
    buildArgs: withPrefix(raw, 'build-arg:'),
    labels: withPrefix(raw, 'label:'),
    targetPlatforms,
    multiPlatform: parseMultiPlatform(
      get('build-arg:BUILDKIT_MULTI_PLATFORM') || get('multi-platform'),
      targetPlatforms.length > 1,
    ),
    resolveMode: parseResolveMode(get('image-resolve-mode')),
    extraHosts: within('failed to parse additional hosts', () => parseExtraHosts(get('add-hosts'))),
    shmSize: within('failed to parse shm size', () => (get('shm-size') === '' ? 0n : parseInteger(get('shm-size')))),
    ulimits: within('failed to parse ulimit', () => parseUlimits(get('ulimit'))),
    resources: within('failed to parse resource limits', () => parseResources(get)),
    network: parseNetwork(get('force-network-mode')),
    noCache: raw.get('no-cache') === '' ? 'all' : get('no-cache').split(',').filter(Boolean),
    cgroupParent: get('cgroup-parent'),
    hostname: get('build-arg:BUILDKIT_SANDBOX_HOSTNAME') || get('hostname'),
    cacheNamespace: get('build-arg:BUILDKIT_CACHE_MOUNT_NS'),
    localSessions: withPrefix(raw, 'local-sessionid:'),
  };
}

const CAPABILITIES: ReadonlySet<string> = new Set(
  ['inputs', 'subrequests', 'contexts', 'gitquerystring'].map(name => `moby.buildkit.frontend.${name}`),
);

/** Refuses what a client needs of the frontend and this one lacks. */
function checkCapabilities(list: string): void {
  for (const entry of list.split(',').filter(Boolean)) {
    const [name = ''] = entry.split('+');
    if (!CAPABILITIES.has(name)) throw new FrontendOptionError(`unsupported frontend capability ${name}`);
  }
}

function within<Value>(what: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new FrontendOptionError(`${what}: ${message}`, { cause });
  }
}

function withPrefix(raw: ReadonlyMap<string, string>, prefix: string): ReadonlyMap<string, string> {
  return new Map(
    [...raw].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])),
  );
}

function parsePlatforms(list: string): Platform[] {
  if (list === '') return [];
  return list
    .split(',')
    .map(text => within(`failed to parse target platform ${text}`, () => normalizePlatform(parsePlatform(text))));
}

function parseMultiPlatform(text: string, several: boolean): boolean {
  if (text === '') return several;
  const wanted = parseGoBool(text);
  if (wanted === undefined) throw new FrontendOptionError(`invalid boolean value for multi-platform: ${text}`);
  if (!wanted && several) {
    throw new FrontendOptionError('conflicting config: returning multiple target platforms is not allowed');
  }
  return wanted;
}

function parseResolveMode(text: string): ResolveMode {
  if (text === '' || text === 'default') return 'default';
  if (text === 'pull' || text === 'local') return text;
  throw new FrontendOptionError(`invalid image-resolve-mode: ${text}`);
}

function parseNetwork(text: string): Network {
  if (text === '' || text === 'sandbox') return 'sandbox';
  if (text === 'none' || text === 'host') return text;
  throw new FrontendOptionError(`invalid netmode ${text}`);
}

function parseExtraHosts(text: string): ExtraHost[] {
  if (text === '') return [];
  return parseCsvRecord(text).map(field => {
    const entry = field.toLowerCase();
    const equals = entry.indexOf('=');
    if (equals < 0) throw new FrontendOptionError(`invalid key-value pair ${field}`);
    const address = entry.slice(equals + 1);
    const ip = canonicalIp(address);
    if (ip === undefined) throw new FrontendOptionError(`failed to parse IP ${address}`);
    return { host: entry.slice(0, equals), ip };
  });
}

/** An IP address as Go prints it; undefined for what is none. */
export function canonicalIp(text: string): string | undefined {
  const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
  const v4 = `${octet}(?:\\.${octet}){3}`;
  if (new RegExp(`^${v4}$`).test(text)) return text;
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(':')) return undefined;
  const url = `http://[${text}]/`;
  if (!URL.canParse(url)) return undefined;
  const canonical = new URL(url).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped === null) return canonical;
  const [high, low] = [Number.parseInt(mapped[1] ?? '0', 16), Number.parseInt(mapped[2] ?? '0', 16)];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

const ULIMITS = new Set(
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '),
);

function parseUlimits(text: string): Ulimit[] {
  return text === '' ? [] : parseCsvRecord(text).map(parseUlimit);
}

function parseUlimit(field: string): Ulimit {
  const equals = field.indexOf('=');
  if (equals < 0) throw new FrontendOptionError(`invalid ulimit argument: ${field}`);
  const name = field.slice(0, equals);
  const limits = field.slice(equals + 1).split(':');
  if (!ULIMITS.has(name)) throw new FrontendOptionError(`invalid ulimit type: ${name}`);
  if (limits.length > 2) {
    throw new FrontendOptionError(
      `too many limit value arguments - ${field.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``,
    );
  }
  const soft = parseInteger(limits[0] ?? '');
  const hard = limits[1] === undefined ? soft : parseInteger(limits[1]);
  if (hard !== -1n && (soft === -1n || soft > hard)) {
    const what = soft === -1n ? 'unlimited' : String(soft);
    throw new FrontendOptionError(`ulimit soft limit must be less than or equal to hard limit: ${what} > ${hard}`);
  }
  return { name, soft, hard };
}

function parseInteger(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) {
    throw new FrontendOptionError(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return BigInt(text.replace(/^\+/, ''));
}

function parseResources(get: (key: string) => string): LinuxResources | undefined {
  const number = (key: string, allowed: (value: bigint) => boolean, rule: string): bigint | undefined => {
    const text = get(key);
    if (text === '') return undefined;
    const value = within(`invalid ${key} value: ${text}`, () => parseInteger(text));
    if (!allowed(value)) throw new FrontendOptionError(`invalid ${key} value: ${text}: must be ${rule}`);
    return value;
  };
  const positive = (key: string) => number(key, value => value > 0n, '> 0');
  const cpus = (key: string): string | undefined => {
    const text = get(key);
    if (text !== '' && !/^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(text)) {
      throw new FrontendOptionError(`invalid ${key} value: ${text}: not a list of numbers and ranges`);
    }
    return text === '' ? undefined : text;
  };
  const entries = {
    memory: positive('memory'),
    memorySwap: number('memswap', value => value === -1n || value > 0n, '-1 (unlimited) or > 0'),
    cpuShares: positive('cpushares'),
    cpuPeriod: positive('cpuperiod'),
    cpuQuota: positive('cpuquota'),
    cpusetCpus: cpus('cpusetcpus'),
    cpusetMems: cpus('cpusetmems'),
  };
  const set = Object.entries(entries).filter(([, value]) => value !== undefined);
  return set.length === 0 ? undefined : Object.fromEntries(set);
}

/** Whether a stage is built without looking into caches. */
export function ignoresCache(options: FrontendOptions, stage: string): boolean {
  const { noCache } = options;
  return noCache === 'all' || noCache.some(name => name.toLowerCase() === stage.toLowerCase());
}
