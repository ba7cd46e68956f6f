import { DockerfileError } from '../dockerfile/error.ts';
import { goQuote } from '../dockerfile/go-text.ts';
import type {
  ArgInstruction,
  CmdInstruction,
  EntrypointInstruction,
  EnvInstruction,
  ExposeInstruction,
  HealthCheckInstruction,
  LabelInstruction,
  VolumeInstruction,
} from '../dockerfile/instruction.ts';
import {
  lintExposedPort,
  lintLegacyPairs,
  lintSecretName,
  lintShellForm,
  lintUsedOnce,
} from '../dockerfile/lint/plan-rules.ts';
import { SCAN_ARGS } from '../dockerfile/sbom-args.ts';
import { parseExposedPort } from './expose.ts';
import { addHistory, formatDuration } from './history.ts';
import type { InstructionScope } from './instruction-scope.ts';
import { type StageState, setStageEnv } from './stage.ts';
import { checkStopSignal } from './stop-signal.ts';

/** ENV: for steps and for the image. */
export function planEnv(scope: InstructionScope, env: EnvInstruction): void {
  const { stage, linter } = scope;
  const expanded = env.pairs.map(({ key, value }) => ({ key: scope.word(key), value: scope.word(value) }));
  lintLegacyPairs(linter, env);
  for (const { key, value } of expanded) {
    lintSecretName(linter, 'ENV', key, env.lines);
    setStageEnv(stage, key, value);
    stage.image.config.env.set(key, value);
  }
  noLayer(scope, `ENV${expanded.map(({ key, value }) => ` ${key}=${value}`).join('')}`);
}

/**
 * ARG: a build argument's value, else the default, else what is known of the name globally; for steps only, and over an ENV
 * before it.
 */
export function planArg(scope: InstructionScope, { args, lines }: ArgInstruction): void {
  const { context, stage, linter } = scope;
  const shown: string[] = [];
  for (const { key, value: written, doc } of args) {
    lintSecretName(linter, 'ARG', key, lines);
    const value =
      context.buildArgs.get(key) ?? (written === undefined ? context.globalArgs.get(key) : scope.word(written));
    if (value !== undefined && !SCAN_ARGS.has(key)) setStageEnv(stage, key, value);
    const isInherited = written === undefined && !context.buildArgs.has(key) && value !== undefined;
    if (!isInherited) stage.outline.args.set(key, { value, doc, lines, needs: new Set() });
    stage.outline.usedArgs.add(key);
    stage.args.push({ key, value });
    shown.push(value === undefined ? key : `${key}=${value}`);
  }
  noLayer(scope, `ARG ${shown.join(' ')}`);
}

export function planLabel(scope: InstructionScope, label: LabelInstruction): void {
  const { config } = scope.stage.image;
  config.labels ??= new Map();
  const expanded = label.pairs.map(({ key, value }) => ({ key: scope.word(key), value: scope.word(value) }));
  lintLegacyPairs(scope.linter, label);
  for (const { key, value } of expanded) config.labels.set(key, value);
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

export function planExpose(scope: InstructionScope, { ports: written, lines }: ExposeInstruction): void {
  const { config } = scope.stage.image;
  const exposed: string[] = [];
  for (const text of written.flatMap(word => scope.words(word))) {
    const { ports, protocol, hasHost } = parseExposedPort(text);
    lintExposedPort(scope.linter, { text, protocol, hasHost }, lines);
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

export function planCmd(scope: InstructionScope, cmd: CmdInstruction): void {
  const { stage, linter } = scope;
  lintUsedOnce(linter, cmd, stage.lastOf.cmd);
  stage.lastOf.cmd = cmd.lines;
  const args = commandOf(scope, cmd);
  stage.image.config.cmd = args;
  stage.image.config.argsEscaped = true;
  noLayer(scope, `CMD ${quoted(args)}`);
}

export function planEntrypoint(scope: InstructionScope, entrypoint: EntrypointInstruction): void {
  const { stage, linter } = scope;
  lintUsedOnce(linter, entrypoint, stage.lastOf.entrypoint);
  stage.lastOf.entrypoint = entrypoint.lines;
  const args = commandOf(scope, entrypoint);
  stage.image.config.entrypoint = args;
  // An inherited command was meant for the inherited entry point.
  if (stage.lastOf.cmd === undefined) stage.image.config.cmd = undefined;
  noLayer(scope, `ENTRYPOINT ${quoted(args)}`);
}

export function planHealthCheck(scope: InstructionScope, check: HealthCheckInstruction): void {
  const { stage, linter } = scope;
  lintUsedOnce(linter, check, stage.lastOf.healthcheck);
  stage.lastOf.healthcheck = check.lines;
  const { test, interval, timeout, startPeriod, startInterval, retries } = check;
  stage.image.config.healthcheck = {
    Test: test,
    Interval: interval,
    Timeout: timeout,
    StartPeriod: startPeriod,
    StartInterval: startInterval,
    Retries: retries,
  };
  const shown = [
    `Test:[${test.join(' ')}]`,
    `Interval:${formatDuration(interval)}`,
    `Timeout:${formatDuration(timeout)}`,
    `StartPeriod:${formatDuration(startPeriod)}`,
    `StartInterval:${formatDuration(startInterval)}`,
    `Retries:${retries}`,
  ];
  noLayer(scope, `HEALTHCHECK {${shown.join(' ')}}`);
}

/** A command in the shell form behind the shell in force. */
export function withShell({ image }: StageState, text: string): string[] {
  const { shell } = image.config;
  if (shell.length > 0) return [...shell, text];
  return image.os === 'windows' ? ['cmd', '/S', '/C', text] : ['/bin/sh', '-c', text];
}

function commandOf(scope: InstructionScope, command: CmdInstruction | EntrypointInstruction): readonly string[] {
  if (!command.shellForm) return command.args;
  if (scope.stage.image.config.shell.length === 0) lintShellForm(scope.linter, command);
  return withShell(scope.stage, command.args.join(' '));
}

function quoted(args: readonly string[]): string {
  return `[${args.map(goQuote).join(' ')}]`;
}

function noLayer({ context, stage }: InstructionScope, text: string): void {
  addHistory(context, stage, text, 'no layer');
}
