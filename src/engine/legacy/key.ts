/**
 * The key of a step in the legacy builder's model: the parent image and the config of the container that the step would
 * make, compared field by field (legacy builder facts, 2). Pure: it can be computed for steps that are never run, with any
 * text that stands for the parent.
 */

import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { KeyPart } from '../status/event.ts';
import { type ContainerConfig, formatContainerConfig, shellOf } from './container-config.ts';

/** What a step asks the cache for. */
export interface StepKey {
  /** The image that the step stands on, or what stands for it; undefined for `scratch`. */
  readonly parent: string | undefined;
  /** The digest of the compared fields of the config. Two steps on one parent are the same if these are equal. */
  readonly config: Digest;
  /** Of parent and config together: what stands for the step's image as the parent of the next. */
  readonly digest: Digest;
}

/** The key of a step on a parent. `wanted` is the config with the command that names the step. */
export function stepKey(parent: string | undefined, wanted: ContainerConfig): StepKey {
  const config = configDigest(wanted);
  return { parent, config, digest: digestOf(`${parent ?? 'scratch'} ${config}`) };
}

/** The digest of what is compared of a config. Host name, domain name and image are not. */
export function configDigest(wanted: ContainerConfig): Digest {
  return digestOf(formatContainerConfig(wanted, { hostname: '', image: '' }));
}

/** What is compared of a config, named: only what is set. The step's own command is `command`. */
export function keyParts(wanted: ContainerConfig): KeyPart[] {
  const parts: KeyPart[] = [];
  const add = (kind: string, name: string, value: string) => void parts.push({ kind, name, value });
  const list = (kind: string, values: readonly string[]) => {
    for (const value of values) add(kind, value, '');
  };
  add('command', '', (wanted.cmd ?? []).join(' '));
  for (const entry of wanted.env) {
    const equals = entry.indexOf('=');
    add('env', equals < 0 ? entry : entry.slice(0, equals), equals < 0 ? '' : entry.slice(equals + 1));
  }
  for (const [name, value] of [...wanted.labels].sort(([a], [b]) => (a < b ? -1 : 1))) add('label', name, value);
  if (wanted.entrypoint !== undefined && wanted.entrypoint.length > 0) {
    add('config', 'entrypoint', goJson(wanted.entrypoint));
  }
  if (wanted.shell.length > 0) add('config', 'shell', goJson(wanted.shell));
  if (wanted.user !== '') add('config', 'user', wanted.user);
  if (wanted.workingDir !== '') add('config', 'workdir', wanted.workingDir);
  if (wanted.stopSignal !== '') add('config', 'stopsignal', wanted.stopSignal);
  if (wanted.stopTimeout !== undefined) add('config', 'stoptimeout', String(wanted.stopTimeout));
  if (wanted.healthcheck !== undefined) add('config', 'healthcheck', goJson(wanted.healthcheck));
  list('expose', [...wanted.exposedPorts].sort());
  list('volume', [...wanted.volumes].sort());
  list('onbuild', wanted.onBuild);
  return parts;
}

/** The config with the command that stands for an instruction that runs nothing: `#(nop) ` and its text. */
export function withComment(config: ContainerConfig, text: string): ContainerConfig {
  return { ...config, cmd: [...shellOf(config), '#(nop) ', text] };
}

/** The same for COPY, ADD and WORKDIR, which write both as one word. */
export function withJoinedComment(config: ContainerConfig, text: string): ContainerConfig {
  return { ...config, cmd: [...shellOf(config), `#(nop) ${text}`] };
}

/**
 * The config that a RUN asks for.
 * @param args The build arguments in force that are not in the environment.
 * @param isListed Whether one of them stands in the key; the proxies do only when they were declared.
 */
export function withRunCommand(
  config: ContainerConfig,
  command: readonly string[],
  args: ReadonlyMap<string, string>,
  isListed: (name: string) => boolean,
): ContainerConfig {
  const listed = [...args].filter(([name]) => isListed(name)).map(([name, value]) => `${name}=${value}`);
  // Even when none is listed the count is there, so that giving a proxy changes the key once.
  const prefix = args.size === 0 ? [] : [`|${listed.length}`, ...listed.sort(compareBytes)];
  const cmd = [...prefix, ...command];
  return { ...config, cmd, argsEscaped: false, entrypoint: undefined };
}

/** The text of COPY and ADD in their keys. */
export function copyComment(keyword: string, hash: string, destination: string, chown: string): string {
  return `${keyword} ${chown === '' ? '' : `--chown=${chown}`}${hash} in ${destination} `;
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
