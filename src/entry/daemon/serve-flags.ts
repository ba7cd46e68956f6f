import { deviceConfig } from '../../host/config/buildkitd-toml.ts';
import type { DaemonConfig, DiskSpace } from '../../host/config/daemon-config.ts';
import { given } from '../../wire/given.ts';
import { parseGoBool } from '../../wire/go-bool.ts';

/** The flags of `outcrop serve` as commander hands them over. */
export interface ServeFlags {
  readonly addr?: readonly string[];
  readonly root?: string;
  readonly config?: string;
  readonly group?: string;
  readonly tlscert?: string;
  readonly tlskey?: string;
  readonly tlscacert?: string;
  readonly allowInsecureEntitlement?: readonly string[];
  readonly ociWorkerLabels?: readonly string[];
  readonly ociWorkerPlatform?: readonly string[];
  readonly ociWorkerBinary?: string;
  readonly ociWorkerNoProcessSandbox?: true;
  readonly ociMaxParallelism?: string;
  readonly ociWorkerGc?: string | true;
  readonly ociWorkerGcKeepstorage?: string;
  readonly cdiDisabled?: true;
  readonly proxyNetwork?: string | true;
  readonly cdiSpecDir?: readonly string[];
  readonly debug?: true;
  readonly logLevel?: string;
  readonly logFormat?: string;
}

/** Flags that cannot be obeyed. */
export class ServeFlagError extends Error {
  override readonly name = 'ServeFlagError';
}

const DEFAULT_ADDRESS = 'unix:///run/buildkit/buildkitd.sock';
const MEGABYTE = 1e6;

/**
 * A configuration with flags over it (control-api facts, 11): what a flag says wins.
 * @throws ServeFlagError
 */
export function applyFlags(config: DaemonConfig, flags: ServeFlags): DaemonConfig {
  const { worker } = config;
  const addresses = flags.addr ?? (config.addresses.length > 0 ? config.addresses : [DEFAULT_ADDRESS]);
  const labels = Object.fromEntries(commas(flags.ociWorkerLabels).map(keyValue));
  return {
    ...config,
    ...given('root', flags.root),
    addresses: commas(addresses),
    ...given('gid', flags.group),
    tls: {
      ...config.tls,
      ...given('cert', flags.tlscert),
      ...given('key', flags.tlskey),
      ...given('ca', flags.tlscacert),
    },
    entitlements: flags.allowInsecureEntitlement ? commas(flags.allowInsecureEntitlement) : config.entitlements,
    devices: deviceConfig(
      flags.cdiDisabled ?? config.devices.isDisabled,
      flags.cdiSpecDir ? commas(flags.cdiSpecDir) : config.devices.specDirs,
      config.devices.autoAllowed,
    ),
    proxyNetwork: flags.proxyNetwork === undefined ? config.proxyNetwork : isTrue(flags.proxyNetwork),
    logFormat: flags.logFormat ?? config.logFormat,
    logLevel: flags.logLevel ?? (flags.debug ? 'debug' : config.logLevel),
    worker: {
      ...worker,
      labels: { ...worker.labels, ...labels },
      platforms: flags.ociWorkerPlatform ? commas(flags.ociWorkerPlatform) : worker.platforms,
      ...given('binary', flags.ociWorkerBinary),
      noProcessSandbox: flags.ociWorkerNoProcessSandbox ?? worker.noProcessSandbox,
      maxParallelism: flags.ociMaxParallelism === undefined ? worker.maxParallelism : Number(flags.ociMaxParallelism),
      gc: flags.ociWorkerGc === undefined ? worker.gc : isTrue(flags.ociWorkerGc),
      ...keepStorage(flags.ociWorkerGcKeepstorage),
    },
  };
}

function keepStorage(text: string | undefined): {
  readonly reservedSpace?: DiskSpace;
  readonly minFreeSpace?: DiskSpace;
  readonly maxUsedSpace?: DiskSpace;
} {
  if (text === undefined) return {};
  const [reserved, free, maximum] = text.split(',').map(part => {
    if (!/^\d+$/.test(part)) throw new ServeFlagError(`--oci-worker-gc-keepstorage ${text}: expected megabytes`);
    return { bytes: Number(part) * MEGABYTE };
  });
  return {
    ...given('reservedSpace', reserved),
    ...given('minFreeSpace', free),
    ...given('maxUsedSpace', maximum),
  };
}

function commas(list: readonly string[] | undefined): string[] {
  return (list ?? []).flatMap(entry => entry.split(',')).filter(entry => entry !== '');
}

function keyValue(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 0) throw new ServeFlagError(`--oci-worker-labels ${text}: expected KEY=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function isTrue(value: string | true): boolean {
  return value === true || parseGoBool(value) === true;
}
