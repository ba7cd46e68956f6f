import { DEFAULT_PATH } from '../../plan/frontend/image-draft.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { Healthcheck } from '../../wire/oci/image-config.ts';
import { sortedObject } from '../exporter/raw-json.ts';

/**
 * How containers of an image are run, in all that the legacy builder knows and compares (moby, `container.Config`). A value:
 * instructions make new ones.
 */
export interface ContainerConfig {
  readonly user: string;
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[];
  readonly tty: boolean;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  /** `NAME=value`, in the order in which the names were first set. */
  readonly env: readonly string[];
  readonly cmd: readonly string[] | undefined;
  readonly healthcheck: Healthcheck | undefined;
  readonly argsEscaped: boolean;
  readonly volumes: readonly string[];
  readonly workingDir: string;
  readonly entrypoint: readonly string[] | undefined;
  readonly networkDisabled: boolean;
  readonly onBuild: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  readonly stopSignal: string;
  /** Seconds. */
  readonly stopTimeout: number | undefined;
  readonly shell: readonly string[];
}

const DEFAULT_SHELL = ['/bin/sh', '-c'];

/** The config that says nothing. */
export const blankConfig: ContainerConfig = {
  user: '',
  attachStdin: false,
  attachStdout: false,
  attachStderr: false,
  exposedPorts: [],
  tty: false,
  openStdin: false,
  stdinOnce: false,
  env: [],
  cmd: undefined,
  healthcheck: undefined,
  argsEscaped: false,
  volumes: [],
  workingDir: '',
  entrypoint: undefined,
  networkDisabled: false,
  onBuild: [],
  labels: new Map(),
  stopSignal: '',
  stopTimeout: undefined,
  shell: [],
};

/** Reads the member `config` or `container_config` of an image; what has another type than it should counts as absent. */
export function parseContainerConfig(value: unknown): ContainerConfig {
  const config = objectOf(value);
  return {
    user: textOf(config['User']),
    attachStdin: config['AttachStdin'] === true,
    attachStdout: config['AttachStdout'] === true,
    attachStderr: config['AttachStderr'] === true,
    exposedPorts: Object.keys(objectOf(config['ExposedPorts'])),
    tty: config['Tty'] === true,
    openStdin: config['OpenStdin'] === true,
    stdinOnce: config['StdinOnce'] === true,
    env: textsOf(config['Env']) ?? [],
    cmd: textsOf(config['Cmd']),
    healthcheck: healthcheckOf(config['Healthcheck']),
    argsEscaped: config['ArgsEscaped'] === true,
    volumes: Object.keys(objectOf(config['Volumes'])),
    workingDir: textOf(config['WorkingDir']),
    entrypoint: textsOf(config['Entrypoint']),
    networkDisabled: config['NetworkDisabled'] === true,
    onBuild: textsOf(config['OnBuild']) ?? [],
    labels: new Map(Object.entries(objectOf(config['Labels'])).map(([key, text]) => [key, textOf(text)])),
    stopSignal: textOf(config['StopSignal']),
    stopTimeout: typeof config['StopTimeout'] === 'number' ? config['StopTimeout'] : undefined,
    shell: textsOf(config['Shell']) ?? [],
  };
}

/** The config that a stage on a base begins with: input is closed, and there is a PATH. */
export function stageConfig(base: ContainerConfig): ContainerConfig {
  const hasPath = base.env.some(entry => entry.startsWith('PATH='));
  return {
    ...base,
    openStdin: false,
    stdinOnce: false,
    env: hasPath ? base.env : [...base.env, `PATH=${DEFAULT_PATH}`],
  };
}

/** What the shell form of commands is given to. */
export function shellOf(config: ContainerConfig): readonly string[] {
  return config.shell.length > 0 ? config.shell : DEFAULT_SHELL;
}

/** The variables of a config by name. */
export function variablesOf({ env }: ContainerConfig): Map<string, string> {
  return new Map(
    env.map(entry => {
      const equals = entry.indexOf('=');
      return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** The config as JSON text, as the members `config` and `container_config` of images have it. */
export function formatContainerConfig(
  config: ContainerConfig,
  { hostname, image }: { readonly hostname: string; readonly image: string },
): string {
  return objectText([
    ['Hostname', goJson(hostname)],
    ['Domainname', '""'],
    ['User', goJson(config.user)],
    ['AttachStdin', String(config.attachStdin)],
    ['AttachStdout', String(config.attachStdout)],
    ['AttachStderr', String(config.attachStderr)],
    ['ExposedPorts', config.exposedPorts.length === 0 ? undefined : setText(config.exposedPorts)],
    ['Tty', String(config.tty)],
    ['OpenStdin', String(config.openStdin)],
    ['StdinOnce', String(config.stdinOnce)],
    ['Env', listText(config.env)],
    ['Cmd', listText(config.cmd ?? [])],
    ['Healthcheck', config.healthcheck && goJson(config.healthcheck)],
    ['ArgsEscaped', config.argsEscaped ? 'true' : undefined],
    ['Image', goJson(image)],
    ['Volumes', config.volumes.length === 0 ? 'null' : setText(config.volumes)],
    ['WorkingDir', goJson(config.workingDir)],
    ['Entrypoint', listText(config.entrypoint ?? [])],
    ['NetworkDisabled', config.networkDisabled ? 'true' : undefined],
    ['OnBuild', listText(config.onBuild)],
    ['Labels', config.labels.size === 0 ? 'null' : mapText(config.labels)],
    ['StopSignal', config.stopSignal === '' ? undefined : goJson(config.stopSignal)],
    ['StopTimeout', config.stopTimeout === undefined ? undefined : String(config.stopTimeout)],
    ['Shell', config.shell.length === 0 ? undefined : goJson(config.shell)],
  ]);
}

/** An object of members that are JSON texts already, in this order; what is undefined is left out. */
function objectText(members: readonly (readonly [name: string, text: string | undefined])[]): string {
  return `{${members.flatMap(([name, text]) => (text === undefined ? [] : [`${goJson(name)}:${text}`])).join(',')}}`;
}

function listText(list: readonly string[]): string {
  return list.length === 0 ? 'null' : goJson(list);
}

function setText(keys: readonly string[]): string {
  return sortedObject(new Map(keys.map(key => [key, '{}'])));
}

function mapText(map: ReadonlyMap<string, string>): string {
  return sortedObject(new Map([...map].map(([key, value]) => [key, goJson(value)])));
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.map(textOf) : undefined;
}

function healthcheckOf(value: unknown): Healthcheck | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const check = objectOf(value);
  const test = textsOf(check['Test']);
  const number = (name: 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval' | 'Retries') => {
    const found = check[name];
    return typeof found === 'number' && found !== 0 ? { [name]: found } : {};
  };
  return {
    ...(test === undefined ? {} : { Test: test }),
    ...number('Interval'),
    ...number('Timeout'),
    ...number('StartPeriod'),
    ...number('StartInterval'),
    ...number('Retries'),
  };
}
