import type { Platform } from '../../wire/oci/descriptor.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { Healthcheck, History } from '../../wire/oci/image-config.ts';
import { normalizePlatform } from '../../wire/oci/platform.ts';
import { compareBytewise } from '../llb/order.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** An image config while instructions change it (OCI image spec config.md, with Docker's additions). */
export interface ImageDraft {
  created: string | undefined;
  author: string;
  architecture: string;
  os: string;
  osVersion: string;
  osFeatures: readonly string[] | undefined;
  variant: string;
  rootfs: { readonly type: string; readonly diffIDs: readonly string[] | undefined };
  history: History[];
  config: RunDraft;
}

interface RunDraft {
  user: string;
  exposedPorts: Set<string> | undefined;
  env: Map<string, string>;
  entrypoint: readonly string[] | undefined;
  cmd: readonly string[] | undefined;
  volumes: Set<string> | undefined;
  workingDir: string;
  labels: Map<string, string> | undefined;
  stopSignal: string;
  argsEscaped: boolean;
  healthcheck: Healthcheck | undefined;
  onBuild: readonly string[];
  shell: readonly string[];
}

/** A config that is no image config. */
class ImageConfigParseError extends Error {
  override readonly name = 'ImageConfigParseError';
}

/** The config that nothing is known about. */
export function blankImage(): ImageDraft {
  return {
    created: undefined,
    author: '',
    architecture: '',
    os: '',
    osVersion: '',
    osFeatures: undefined,
    variant: '',
    rootfs: { type: '', diffIDs: undefined },
    history: [],
    config: {
      user: '',
      exposedPorts: undefined,
      env: new Map(),
      entrypoint: undefined,
      cmd: undefined,
      volumes: undefined,
      workingDir: '',
      labels: undefined,
      stopSignal: '',
      argsEscaped: false,
      healthcheck: undefined,
      onBuild: [],
      shell: [],
    },
  };
}

/** The config of `scratch` for a platform. */
export function emptyImage(platform: Platform): ImageDraft {
  const image = blankImage();
  image.architecture = platform.architecture;
  image.os = platform.os;
  image.osVersion = platform['os.version'] ?? '';
  image.osFeatures = platform['os.features'];
  image.variant = platform.variant ?? '';
  image.rootfs = { type: 'layers', diffIDs: undefined };
  image.config.workingDir = '/';
  if (platform.os !== 'windows') image.config.env.set('PATH', DEFAULT_PATH);
  return image;
}

/** A copy that can be changed by itself. */
export function cloneImage(image: ImageDraft): ImageDraft {
  const { config } = image;
  return {
    ...image,
    history: [...image.history],
    config: {
      ...config,
      env: new Map(config.env),
      exposedPorts: config.exposedPorts && new Set(config.exposedPorts),
      volumes: config.volumes && new Set(config.volumes),
      labels: config.labels && new Map(config.labels),
    },
  };
}

/** The platform that a config names, if it names one. */
export function imagePlatform(image: ImageDraft): Platform | undefined {
  return image.architecture === '' || image.os === '' ? undefined : platformMembers(image);
}

/** Gives the platform that a config names its normal form. */
export function normalizeImagePlatform(image: ImageDraft): void {
  const platform = normalizePlatform(platformMembers(image));
  image.os = platform.os;
  image.architecture = platform.architecture;
  image.variant = platform.variant ?? '';
  image.osVersion = platform['os.version'] ?? '';
  image.osFeatures = platform['os.features'];
}

/** The platform of a config, empty where it says nothing. */
export function platformMembers({ os, architecture, variant, osVersion, osFeatures }: ImageDraft): Platform {
  return {
    os,
    architecture,
    ...(variant === '' ? {} : { variant }),
    ...(osVersion === '' ? {} : { 'os.version': osVersion }),
    ...(osFeatures === undefined ? {} : { 'os.features': osFeatures }),
  };
}

/** Reads a config; members that Docker's image spec does not have are dropped. @throws ImageConfigParseError */
export function parseImage(bytes: Uint8Array): ImageDraft {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ImageConfigParseError(`failed to parse image config: ${message}`, { cause });
  }
  const image = asObject(value);
  const config = asObject(image['config']);
  const rootfs = asObject(image['rootfs']);
  const draft = blankImage();
  const created = asText(image['created']);
  draft.created = created === '' ? undefined : goTime(created);
  draft.author = asText(image['author']);
  draft.architecture = asText(image['architecture']);
  draft.os = asText(image['os']);
  draft.osVersion = asText(image['os.version']);
  draft.osFeatures = asTexts(image['os.features']);
  draft.variant = asText(image['variant']);
  draft.rootfs = { type: asText(rootfs['type']), diffIDs: asTexts(rootfs['diff_ids']) };
  draft.history = asList(image['history']).map(parseHistory);
  const run = draft.config;
  run.user = asText(config['User']);
  run.exposedPorts = asKeys(config['ExposedPorts']);
  for (const entry of asTexts(config['Env']) ?? []) {
    const equals = entry.indexOf('=');
    run.env.set(equals < 0 ? entry : entry.slice(0, equals), equals < 0 ? '' : entry.slice(equals + 1));
  }
  run.entrypoint = asTexts(config['Entrypoint']);
  run.cmd = asTexts(config['Cmd']);
  run.volumes = asKeys(config['Volumes']);
  run.workingDir = asText(config['WorkingDir']);
  run.labels = asTextMap(config['Labels']);
  run.stopSignal = asText(config['StopSignal']);
  run.argsEscaped = config['ArgsEscaped'] === true;
  run.healthcheck = parseHealthcheck(config['Healthcheck']);
  run.onBuild = asTexts(config['OnBuild']) ?? [];
  run.shell = asTexts(config['Shell']) ?? [];
  return draft;
}

function parseHistory(value: unknown): History {
  const entry = asObject(value);
  const created = asText(entry['created']);
  return {
    ...(created === '' ? {} : { created: goTime(created) }),
    ...textMember('created_by', entry['created_by']),
    ...textMember('author', entry['author']),
    ...textMember('comment', entry['comment']),
    ...(entry['empty_layer'] === true ? { empty_layer: true } : {}),
  };
}

function parseHealthcheck(value: unknown): Healthcheck | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const check = asObject(value);
  const test = asTexts(check['Test']);
  return {
    ...(test === undefined ? {} : { Test: test }),
    ...numberMember('Interval', check['Interval']),
    ...numberMember('Timeout', check['Timeout']),
    ...numberMember('StartPeriod', check['StartPeriod']),
    ...numberMember('StartInterval', check['StartInterval']),
    ...numberMember('Retries', check['Retries']),
  };
}

/** The text of the config, as BuildKit writes it: members in a fixed order, maps sorted by key. */
export function formatImage(image: ImageDraft): string {
  const { config, rootfs } = image;
  return objectText([
    ['created', textOf(image.created)],
    ['author', textOf(image.author)],
    ['architecture', goJson(image.architecture)],
    ['os', goJson(image.os)],
    ['os.version', textOf(image.osVersion)],
    ['os.features', listOf(image.osFeatures)],
    ['variant', textOf(image.variant)],
    [
      'rootfs',
      objectText([
        ['type', goJson(rootfs.type)],
        ['diff_ids', goJson(rootfs.diffIDs ?? null)],
      ]),
    ],
    ['history', image.history.length === 0 ? undefined : `[${image.history.map(formatHistory).join(',')}]`],
    [
      'config',
      objectText([
        ['User', textOf(config.user)],
        ['ExposedPorts', setOf(config.exposedPorts)],
        ['Env', listOf([...config.env].map(([key, value]) => `${key}=${value}`))],
        ['Entrypoint', listOf(config.entrypoint)],
        ['Cmd', listOf(config.cmd)],
        ['Volumes', setOf(config.volumes)],
        ['WorkingDir', textOf(config.workingDir)],
        ['Labels', mapOf(config.labels)],
        ['StopSignal', textOf(config.stopSignal)],
        ['ArgsEscaped', flagOf(config.argsEscaped)],
        ['Healthcheck', config.healthcheck && formatHealthcheck(config.healthcheck)],
        ['OnBuild', listOf(config.onBuild)],
        ['Shell', listOf(config.shell)],
      ]),
    ],
  ]);
}

function formatHistory(entry: History): string {
  return objectText([
    ['created', textOf(entry.created)],
    ['created_by', textOf(entry.created_by)],
    ['author', textOf(entry.author)],
    ['comment', textOf(entry.comment)],
    ['empty_layer', flagOf(entry.empty_layer)],
  ]);
}

function formatHealthcheck(check: Healthcheck): string {
  return objectText([
    ['Test', listOf(check.Test)],
    ['Interval', numberOf(check.Interval)],
    ['Timeout', numberOf(check.Timeout)],
    ['StartPeriod', numberOf(check.StartPeriod)],
    ['StartInterval', numberOf(check.StartInterval)],
    ['Retries', numberOf(check.Retries)],
  ]);
}

/** An object of members that are JSON texts already; what is undefined is left out. An object literal would sort numbers first. */
function objectText(members: readonly (readonly [name: string, text: string | undefined])[]): string {
  return `{${members.flatMap(([name, text]) => (text === undefined ? [] : [`${goJson(name)}:${text}`])).join(',')}}`;
}

function textOf(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : goJson(text);
}

function numberOf(value: number | undefined): string | undefined {
  return value ? String(value) : undefined;
}

function flagOf(value: boolean | undefined): string | undefined {
  return value ? 'true' : undefined;
}

function listOf(list: readonly string[] | undefined): string | undefined {
  return list === undefined || list.length === 0 ? undefined : goJson(list);
}

function setOf(set: ReadonlySet<string> | undefined): string | undefined {
  if (set === undefined || set.size === 0) return undefined;
  return objectText([...set].sort(compareBytewise).map(key => [key, '{}']));
}

function mapOf(map: ReadonlyMap<string, string> | undefined): string | undefined {
  if (map === undefined || map.size === 0) return undefined;
  return objectText([...map].sort(([a], [b]) => compareBytewise(a, b)).map(([key, value]) => [key, goJson(value)]));
}

/** RFC 3339 as Go prints it: no zeros at the end of the fraction. */
function goTime(text: string): string {
  return text.replace(/\.(\d*?)0*(?=Z|[+-]\d\d:\d\d$)/, (_, digits: string) => (digits === '' ? '' : `.${digits}`));
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function asTexts(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.map(asText) : undefined;
}

function asKeys(value: unknown): Set<string> | undefined {
  return typeof value === 'object' && value !== null ? new Set(Object.keys(value)) : undefined;
}

function asTextMap(value: unknown): Map<string, string> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map(Object.entries(value).map(([key, text]) => [key, asText(text)]));
}

function textMember<Name extends string>(name: Name, value: unknown): { [Key in Name]?: string } {
  return typeof value === 'string' ? ({ [name]: value } as { [Key in Name]: string }) : {};
}

function numberMember<Name extends string>(name: Name, value: unknown): { [Key in Name]?: number } {
  return typeof value === 'number' ? ({ [name]: value } as { [Key in Name]: number }) : {};
}
