import { readFile } from 'node:fs/promises';
import { type BuildkitdConfig, type BuildkitdToml, openBuildkitdToml, parseBuildkitdConfig } from './buildkitd-toml.ts';

/** A size: bytes, or a share of the file system in percent. */
export type DiskSpace = { readonly bytes: number } | { readonly percent: number };

/** One rule of what the cache gives up by itself. Absent limits are those of the worker. */
export interface GcRule {
  readonly all: boolean;
  readonly filters: readonly string[];
  /** Milliseconds; 0 for any age. */
  readonly keepDuration: number;
  readonly reservedSpace?: DiskSpace;
  readonly maxUsedSpace?: DiskSpace;
  readonly minFreeSpace?: DiskSpace;
}

/** `[worker.oci]`. */
interface WorkerConfig {
  readonly labels: Readonly<Record<string, string>>;
  /** Empty for those of the machine. */
  readonly platforms: readonly string[];
  readonly gc: boolean;
  readonly gcPolicy: readonly GcRule[];
  readonly reservedSpace?: DiskSpace;
  readonly maxUsedSpace?: DiskSpace;
  readonly minFreeSpace?: DiskSpace;
  readonly network: string;
  readonly binary?: string;
  readonly noProcessSandbox: boolean;
  readonly cgroupParent?: string;
  /** 0 for no limit. */
  readonly maxParallelism: number;
}

/** What a daemon is told to be: `buildkitd.toml` with the flags of the command line over it. */
export interface DaemonConfig extends BuildkitdConfig {
  readonly root?: string;
  readonly addresses: readonly string[];
  readonly uid?: number;
  /** A name or a number. */
  readonly gid?: number | string;
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  readonly debugAddress?: string;
  readonly logFormat: string;
  readonly logLevel: string;
  readonly entitlements: readonly string[];
  /** Whether steps are to reach the network through a proxy of the daemon only. */
  readonly proxyNetwork: boolean;
  /** Milliseconds. */
  readonly historyMaxAge: number;
  readonly historyMaxEntries: number;
  readonly dns: {
    readonly nameservers: readonly string[];
    readonly options: readonly string[];
    readonly searchDomains: readonly string[];
  };
  readonly frontends: {
    readonly dockerfile: boolean;
    readonly gateway: boolean;
    /** Repositories that frontend images may come from; empty for any. */
    readonly gatewayRepositories: readonly string[];
  };
  readonly worker: WorkerConfig;
}

const HOUR = 3_600_000;

/** Reads the file of a daemon; a missing one is an empty configuration. @throws BuildkitdConfigError */
export async function loadDaemonConfig(file: string): Promise<DaemonConfig> {
  let text = '';
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR'))) {
      throw new Error(`cannot read ${file}: ${(cause as Error).message}`, { cause });
    }
  }
  return parseDaemonConfig(text, file);
}

/** Reads the text of a daemon's `buildkitd.toml` (control-api facts, 12). @throws BuildkitdConfigError */
async function parseDaemonConfig(text: string, source: string): Promise<DaemonConfig> {
  const registries = await parseBuildkitdConfig(text, source);
  const toml = await openBuildkitdToml(text, source);
  const { root, read } = toml;
  const scalars = scalarReader(toml);
  const grpc = read.table(root['grpc'], 'grpc');
  const tls = read.table(grpc['tls'], 'grpc.tls');
  const log = read.table(root['log'], 'log');
  const history = read.table(root['history'], 'history');
  const dns = read.table(root['dns'], 'dns');
  const frontend = read.table(root['frontend'], 'frontend');
  const dockerfile = read.table(frontend['dockerfile.v0'], 'frontend."dockerfile.v0"');
  const gateway = read.table(frontend['gateway.v0'], 'frontend."gateway.v0"');
  const { text: textOf, number, duration } = scalars;
  return {
    ...registries,
    ...optional('root', textOf(root['root'], 'root')),
    addresses: read.strings(grpc['address'], 'grpc.address'),
    ...optional('uid', number(grpc['uid'], 'grpc.uid')),
    ...optional('gid', number(grpc['gid'], 'grpc.gid')),
    tls: {
      ...optional('cert', textOf(tls['cert'], 'grpc.tls.cert')),
      ...optional('key', textOf(tls['key'], 'grpc.tls.key')),
      ...optional('ca', textOf(tls['ca'], 'grpc.tls.ca')),
    },
    ...optional('debugAddress', textOf(grpc['debugAddress'], 'grpc.debugAddress')),
    logFormat: textOf(log['format'], 'log.format') ?? 'text',
    logLevel: textOf(log['level'], 'log.level') ?? (root['debug'] === true ? 'debug' : 'info'),
    entitlements: read.strings(root['insecure-entitlements'], 'insecure-entitlements'),
    proxyNetwork: read.flag('proxyNetwork', root['proxyNetwork'], 'proxyNetwork').proxyNetwork ?? false,
    historyMaxAge: duration(history['maxAge'], 'history.maxAge') ?? 48 * HOUR,
    historyMaxEntries: number(history['maxEntries'], 'history.maxEntries') ?? 50,
    dns: {
      nameservers: read.strings(dns['nameservers'], 'dns.nameservers'),
      options: read.strings(dns['options'], 'dns.options'),
      searchDomains: read.strings(dns['searchDomains'], 'dns.searchDomains'),
    },
    frontends: {
      dockerfile: dockerfile['enabled'] !== false,
      gateway: gateway['enabled'] !== false,
      gatewayRepositories: read.strings(gateway['allowedRepositories'], 'frontend."gateway.v0".allowedRepositories'),
    },
    worker: readWorker(toml, scalars),
  };
}

function readWorker({ root, read }: BuildkitdToml, scalars: ReturnType<typeof scalarReader>): WorkerConfig {
  const { text, number, duration, space } = scalars;
  const where = 'worker.oci';
  const worker = read.table(read.table(root['worker'], 'worker')['oci'], where);
  const rules = worker['gcpolicy'];
  const limits = (table: Readonly<Record<string, unknown>>, place: string, old: string) => ({
    ...optional('reservedSpace', space(table['reservedSpace'] ?? table[old], `${place}.reservedSpace`)),
    ...optional('maxUsedSpace', space(table['maxUsedSpace'], `${place}.maxUsedSpace`)),
    ...optional('minFreeSpace', space(table['minFreeSpace'], `${place}.minFreeSpace`)),
  });
  return {
    labels: Object.fromEntries(
      Object.entries(read.table(worker['labels'], `${where}.labels`)).map(([key, value]) => [key, String(value)]),
    ),
    platforms: read.strings(worker['platforms'], `${where}.platforms`),
    gc: worker['gc'] !== false,
    gcPolicy: (Array.isArray(rules) ? rules : []).map(entry => {
      const rule = read.table(entry, `${where}.gcpolicy`);
      return {
        all: rule['all'] === true,
        filters: read.strings(rule['filters'], `${where}.gcpolicy.filters`),
        keepDuration: duration(rule['keepDuration'], `${where}.gcpolicy.keepDuration`) ?? 0,
        ...limits(rule, `${where}.gcpolicy`, 'keepBytes'),
      };
    }),
    ...limits(worker, where, 'gckeepstorage'),
    network: text(worker['networkMode'], `${where}.networkMode`) ?? 'auto',
    ...optional('binary', text(worker['binary'], `${where}.binary`)),
    noProcessSandbox: worker['noProcessSandbox'] === true,
    ...optional('cgroupParent', text(worker['defaultCgroupParent'], `${where}.defaultCgroupParent`)),
    maxParallelism: number(worker['max-parallelism'], `${where}.max-parallelism`) ?? 0,
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

const DURATIONS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: HOUR,
};

/** A duration as Go writes it (`1h30m`), in milliseconds; undefined for a text that is none. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = '', parts = ''] = /^([-+]?)(.+)$/.exec(text.trim()) ?? [];
  if (parts === '0') return 0;
  if (!/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+$/.test(parts)) return undefined;
  let total = 0;
  for (const [, number = '0', unit = ''] of parts.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(number) * (DURATIONS[unit] ?? 0);
  }
  return sign === '-' ? -total : total;
}

const SIZES: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** A size: `512MB` (binary multiples), `10%`, or bytes; undefined for a text that is none. */
function parseDiskSpace(text: string): DiskSpace | undefined {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*(%|[kmgtp]?i?b?)\s*$/i.exec(text) ?? [];
  if (number === undefined) return undefined;
  if (unit === '%') return { percent: Number(number) };
  return { bytes: Math.round(Number(number) * (SIZES[unit.toLowerCase().replace(/i?b$/, '')] ?? 1)) };
}

function scalarReader({ fail }: BuildkitdToml) {
  return {
    text(value: unknown, where: string): string | undefined {
      if (value === undefined) return undefined;
      if (typeof value !== 'string') throw fail(`${where} must be a string`);
      return value;
    },
    number(value: unknown, where: string): number | undefined {
      if (value === undefined) return undefined;
      if (typeof value !== 'number' || !Number.isInteger(value)) throw fail(`${where} must be a whole number`);
      return value;
    },
    /** Milliseconds; a number is seconds. */
    duration(value: unknown, where: string): number | undefined {
      if (value === undefined) return undefined;
      if (typeof value === 'number') return value * 1000;
      const milliseconds = typeof value === 'string' ? parseGoDuration(value) : undefined;
      if (milliseconds === undefined) throw fail(`${where} must be a duration such as 48h`);
      return milliseconds;
    },
    space(value: unknown, where: string): DiskSpace | undefined {
      if (value === undefined) return undefined;
      if (typeof value === 'number') return { bytes: value };
      const size = typeof value === 'string' ? parseDiskSpace(value) : undefined;
      if (size === undefined) throw fail(`${where} must be a size such as 10GB or 20%`);
      return size;
    },
  };
}
