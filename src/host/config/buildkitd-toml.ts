import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_SPEC_DIRS, type DeviceOptions } from '../cdi/devices.ts';

/** How one registry host is reached: `[registry."HOST"]` of `buildkitd.toml`. */
export interface RegistryHostConfig {
  /** `host[:port][/path]`, asked in this order before the host itself, for pulls only. */
  readonly mirrors: readonly string[];
  /** Plain HTTP. Absent: HTTPS, except for loopback hosts. */
  readonly http?: boolean;
  /** Do not verify certificates. */
  readonly insecure?: boolean;
  /** Files of further certificate authorities, PEM. */
  readonly ca: readonly string[];
  /** Files of client certificates. */
  readonly keypairs: readonly { readonly key: string; readonly cert: string }[];
  /** Directories in the layout of `certs.d`: `*.crt`, and `*.cert` with `*.key`. */
  readonly tlsConfigDirs: readonly string[];
}

/** What `buildkitd.toml` says that this engine heeds. */
export interface BuildkitdConfig {
  readonly registries: ReadonlyMap<string, RegistryHostConfig>;
  /** Blobs that are moved at once, per registry. */
  readonly maxRegistryConcurrency?: number;
  readonly devices: DeviceConfig;
}

/** `[cdi]`. A machine that gives no devices to steps has no directories for them. */
export interface DeviceConfig extends DeviceOptions {
  readonly isDisabled: boolean;
}

/** A `buildkitd.toml` that cannot be used. */
class BuildkitdConfigError extends Error {
  override readonly name = 'BuildkitdConfigError';
}

/** A host that nothing is said about. */
export const DEFAULT_REGISTRY_HOST: RegistryHostConfig = { mirrors: [], ca: [], keypairs: [], tlsConfigDirs: [] };

/** A configuration that says nothing. */
const NOTHING_SAID: BuildkitdConfig = { registries: new Map(), devices: deviceConfig(false, [], []) };

/** Where the file is looked for: `$OUTCROP_CONFIG`, else where `buildkitd` looks, as root or rootless. */
export function buildkitdConfigPath(env: NodeJS.ProcessEnv): string {
  const own = env['OUTCROP_CONFIG'];
  if (own !== undefined && own !== '') return own;
  if (process.geteuid?.() === 0) return '/etc/buildkit/buildkitd.toml';
  return join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'buildkit', 'buildkitd.toml');
}

/**
 * Reads `buildkitd.toml`. A missing file is an empty configuration, unless `$OUTCROP_CONFIG` names it.
 * @throws BuildkitdConfigError
 */
export async function loadBuildkitdConfig(env: NodeJS.ProcessEnv): Promise<BuildkitdConfig> {
  const file = buildkitdConfigPath(env);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR');
    if (missing && file !== env['OUTCROP_CONFIG']) return NOTHING_SAID;
    throw new BuildkitdConfigError(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseBuildkitdConfig(text, file);
}

/**
 * Reads the text of a `buildkitd.toml`. Unknown keys are ignored, as `buildkitd` does.
 * @param source its path, for messages
 * @throws BuildkitdConfigError
 */
export async function parseBuildkitdConfig(text: string, source: string): Promise<BuildkitdConfig> {
  const { root, read, fail } = await openBuildkitdToml(text, source);
  const registries = new Map<string, RegistryHostConfig>();
  for (const [host, value] of Object.entries(read.table(root['registry'], 'registry'))) {
    const where = `registry."${host}"`;
    const table = read.table(value, where);
    registries.set(host, {
      mirrors: read.strings(table['mirrors'], `${where}.mirrors`),
      ...read.flag('http', table['http'], `${where}.http`),
      ...read.flag('insecure', table['insecure'], `${where}.insecure`),
      ca: read.strings(table['ca'], `${where}.ca`),
      keypairs: read.keypairs(table['keypair'], `${where}.keypair`),
      tlsConfigDirs: read.strings(table['tlsconfigdir'], `${where}.tlsconfigdir`),
    });
  }
  const limit = read.table(root['system'], 'system')['maxRegistryConcurrency'];
  if (limit !== undefined && typeof limit !== 'number') throw fail('system.maxRegistryConcurrency must be a number');
  return {
    registries,
    ...(limit === undefined || limit <= 0 ? {} : { maxRegistryConcurrency: limit }),
    devices: readDevices(read.table(root['cdi'], 'cdi'), read),
  };
}

function readDevices(table: Readonly<Record<string, unknown>>, { flag, strings }: BuildkitdToml['read']): DeviceConfig {
  const { disabled = false } = flag('disabled', table['disabled'], 'cdi.disabled');
  const directories = strings(table['specDirs'], 'cdi.specDirs');
  return deviceConfig(disabled, directories, strings(table['autoAllowed'], 'cdi.autoAllowed'));
}

/** @param directories none for the usual ones */
export function deviceConfig(
  isDisabled: boolean,
  directories: readonly string[],
  autoAllowed: readonly string[],
): DeviceConfig {
  const specDirs = directories.length === 0 ? DEFAULT_SPEC_DIRS : directories;
  return { isDisabled, specDirs: isDisabled ? [] : specDirs, autoAllowed };
}

/** A `buildkitd.toml` with what reads its values. */
export interface BuildkitdToml {
  readonly root: Readonly<Record<string, unknown>>;
  /** Each throws BuildkitdConfigError for a value of another type; a missing one is empty. */
  readonly read: ReturnType<typeof reader>;
  readonly fail: (what: string, cause?: unknown) => Error;
}

/** Parses a `buildkitd.toml`. @throws BuildkitdConfigError */
export async function openBuildkitdToml(text: string, source: string): Promise<BuildkitdToml> {
  const { parse } = await import('smol-toml');
  const fail = (what: string, cause?: unknown) =>
    new BuildkitdConfigError(`failed to parse config: ${source}: ${what}`, cause === undefined ? {} : { cause });
  let toml: unknown;
  try {
    toml = parse(text);
  } catch (cause) {
    throw fail((cause as Error).message.split('\n')[0] ?? '', cause);
  }
  const read = reader(fail);
  return { root: read.table(toml, ''), read, fail };
}

function reader(fail: (what: string) => Error) {
  const table = (value: unknown, where: string): Record<string, unknown> => {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fail(`${where} must be a table`);
    return value as Record<string, unknown>;
  };
  const strings = (value: unknown, where: string): string[] => {
    if (value === undefined) return [];
    const list = Array.isArray(value) ? value : [];
    const texts = list.filter(item => typeof item === 'string');
    if (!Array.isArray(value) || texts.length !== list.length) throw fail(`${where} must be a list of strings`);
    return texts;
  };
  const flag = <K extends string>(key: K, value: unknown, where: string): { [P in K]?: boolean } => {
    if (value === undefined) return {};
    if (typeof value !== 'boolean') throw fail(`${where} must be true or false`);
    return { [key]: value } as { [P in K]?: boolean };
  };
  const keypairs = (value: unknown, where: string): { key: string; cert: string }[] => {
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw fail(`${where} must be a list`);
    return value.map(item => {
      // Written as [["key", "cert"]] in older examples, as tables in the documentation.
      const { key, cert } = Array.isArray(item) ? { key: item[0], cert: item[1] } : table(item, where);
      if (typeof key !== 'string' || typeof cert !== 'string') throw fail(`${where} must name a key and a cert`);
      return { key, cert };
    });
  };
  return { table, strings, flag, keypairs };
}
