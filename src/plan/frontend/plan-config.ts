import { DockerfileError } from '../dockerfile/error.ts';
import { goQuote } from '../dockerfile/go-text.ts';
import type {
  ArgInstruction,
  Command as CommandArguments,
  EnvInstruction,
  ExposeInstruction,
  HealthCheckInstruction,
  LabelInstruction,
  VolumeInstruction,
} from '../dockerfile/instruction.ts';
import { parseExposedPort } from './expose.ts';
import { addHistory, formatDuration } from './history.ts';
import { HIDDEN_ARGS, type InstructionScope } from './instruction-scope.ts';
import { type StageState, setStageEnv } from './stage.ts';
import { checkStopSignal } from './stop-signal.ts';

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** ENV: for steps and for the image. */
export function planEnv(scope: InstructionScope, { pairs, keyword }: EnvInstruction): void {
  const { stage } = scope;
  const expanded = pairs.map(({ key, value, legacy }) => ({ key: scope.word(key), value: scope.word(value), legacy }));
  for (const { key, value, legacy } of expanded) {
    if (legacy) reportLegacyPair(scope, keyword);
    reportSecretName(scope, 'ENV', key);
    setStageEnv(stage, key, value);
    stage.image.config.env.set(key, value);
  }
  noLayer(scope, `ENV${expanded.map(({ key, value }) => ` ${key}=${value}`).join('')}`);
}

/**
 * ARG: a build argument's value, else the default, else what is known of the name globally; for steps only, and over an ENV
 * before it.
 */
export function planArg(scope: InstructionScope, { args }: ArgInstruction): void {
  const { context, stage } = scope;
  const shown: string[] = [];
  for (const { key, value: written } of args) {
    reportSecretName(scope, 'ARG', key);
    const value =
      context.buildArgs.get(key) ?? (written === undefined ? context.globalArgs.get(key) : scope.word(written));
    if (value !== undefined && !HIDDEN_ARGS.has(key)) setStageEnv(stage, key, value);
    stage.args.push({ key, value });
    shown.push(value === undefined ? key : `${key}=${value}`);
  }
  noLayer(scope, `ARG ${shown.join(' ')}`);
}

export function planLabel(scope: InstructionScope, { pairs, keyword }: LabelInstruction): void {
  const { config } = scope.stage.image;
  config.labels ??= new Map();
  const expanded = pairs.map(({ key, value, legacy }) => ({ key: scope.word(key), value: scope.word(value), legacy }));
  for (const { key, value, legacy } of expanded) {
    if (legacy) reportLegacyPair(scope, keyword);
    config.labels.set(key, value);
  }
  noLayer(scope, `LABEL${expanded.map(({ key, value }) => ` ${key}=${value}`).join('')}`);
}

export function planUser(scope: InstructionScope, written: string): void {
  const user = scope.word(written);
  scope.stage.user = user;
  scope.stage.image.config.user = user;
  noLayer(scope, `USER ${user}`);
}

export function planVolume(scope: InstructionScope, { volumes }: VolumeInstruction): void {
  const { config } = scope.stage.image;
  config.volumes ??= new Set();
  const expanded = volumes.map(volume => scope.word(volume));
  for (const volume of expanded) {
    if (volume === '') throw new DockerfileError('VOLUME specified can not be an empty string', []);
    config.volumes.add(volume);
  }
  noLayer(scope, `VOLUME [${expanded.join(' ')}]`);
}

export function planExpose(scope: InstructionScope, { ports: written }: ExposeInstruction): void {
  const { config } = scope.stage.image;
  const exposed: string[] = [];
  for (const item of written.flatMap(word => scope.words(word))) {
    const { ports, protocol, hasHost } = parseExposedPort(item);
    if (protocol !== protocol.toLowerCase()) {
      scope.report('ExposeProtoCasing', `Defined protocol '${item}' in EXPOSE instruction should be lowercase`);
    }
    if (hasHost) {
      scope.report(
        'ExposeInvalidFormat',
        `EXPOSE instruction should not define an IP address or host-port mapping, found '${item}'`,
      );
    }
    exposed.push(...ports);
  }
  config.exposedPorts ??= new Set();
  for (const port of exposed) config.exposedPorts.add(port);
  noLayer(scope, `EXPOSE [${exposed.join(' ')}]`);
}

export function planStopSignal(scope: InstructionScope, written: string): void {
  const signal = scope.word(written);
  checkStopSignal(signal);
  scope.stage.image.config.stopSignal = signal;
  noLayer(scope, `STOPSIGNAL ${signal}`);
}

export function planShell(scope: InstructionScope, shell: readonly string[]): void {
  scope.stage.image.config.shell = shell;
  noLayer(scope, `SHELL [${shell.join(' ')}]`);
}

export function planMaintainer(scope: InstructionScope, maintainer: string): void {
  scope.stage.image.author = maintainer;
  noLayer(scope, `MAINTAINER ${maintainer}`);
}

export function planCmd(scope: InstructionScope, command: CommandArguments, keyword: string): void {
  reportRepeated(scope, 'cmd', keyword);
  const args = commandOf(scope, command, keyword);
  scope.stage.image.config.cmd = args;
  scope.stage.image.config.argsEscaped = true;
  noLayer(scope, `CMD ${quoted(args)}`);
}

export function planEntrypoint(scope: InstructionScope, command: CommandArguments, keyword: string): void {
  const { stage } = scope;
  reportRepeated(scope, 'entrypoint', keyword);
  const args = commandOf(scope, command, keyword);
  stage.image.config.entrypoint = args;
  // An inherited command was meant for the inherited entry point.
  if (stage.lastOf.cmd === undefined) stage.image.config.cmd = undefined;
  noLayer(scope, `ENTRYPOINT ${quoted(args)}`);
}

export function planHealthCheck(scope: InstructionScope, check: HealthCheckInstruction): void {
  reportRepeated(scope, 'healthcheck', check.keyword);
  const { test, interval, timeout, startPeriod, startInterval, retries } = check;
  scope.stage.image.config.healthcheck = {
    Test: test,
    Interval: interval,
    Timeout: timeout,
    StartPeriod: startPeriod,
    StartInterval: startInterval,
    Retries: retries,
  };
  const times = `Interval:${formatDuration(interval)} Timeout:${formatDuration(timeout)} StartPeriod:${formatDuration(startPeriod)} StartInterval:${formatDuration(startInterval)}`;
  noLayer(scope, `HEALTHCHECK {Test:[${test.join(' ')}] ${times} Retries:${retries}}`);
}

/** A command in the shell form behind the shell in force. */
export function withShell({ image }: StageState, text: string): string[] {
  const { shell } = image.config;
  if (shell.length > 0) return [...shell, text];
  return image.os === 'windows' ? ['cmd', '/S', '/C', text] : ['/bin/sh', '-c', text];
}

function commandOf(scope: InstructionScope, { args, shellForm }: CommandArguments, keyword: string): readonly string[] {
  if (!shellForm) return args;
  if (scope.stage.image.config.shell.length === 0) {
    scope.report(
      'JSONArgsRecommended',
      `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`,
    );
  }
  return withShell(scope.stage, args.join(' '));
}

function quoted(args: readonly string[]): string {
  return `[${args.map(goQuote).join(' ')}]`;
}

function noLayer({ context, stage }: InstructionScope, text: string): void {
  addHistory(context, stage, text, 'no layer');
}

function reportLegacyPair(scope: InstructionScope, keyword: string): void {
  scope.report(
    'LegacyKeyValueFormat',
    `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
  );
}

function reportSecretName(scope: InstructionScope, instruction: 'ARG' | 'ENV', key: string): void {
  if (!SECRET.test(key) || NO_SECRET.test(key)) return;
  scope.report(
    'SecretsUsedInArgOrEnv',
    `Do not use ARG or ENV instructions for sensitive data (${instruction} "${key}")`,
  );
}

/** Reports the instruction that this one makes void, and notes this one. */
function reportRepeated(scope: InstructionScope, what: keyof StageState['lastOf'], keyword: string): void {
  const { lastOf } = scope.stage;
  const before = lastOf[what];
  lastOf[what] = scope.command.instruction.lines;
  if (before === undefined) return;
  scope.report(
    'MultipleInstructionsDisallowed',
    `Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`,
    before,
  );
}
