/** Why a variable that a step sees has another value. */
import { given } from '../../wire/given.ts';
import { shownValue } from '../history/secret-values.ts';
import { type Alignment, isSame } from './align.ts';
import type { BuildView } from './build-view.ts';
import type { Cause } from './cause.ts';
import { type DockerfileModel, type ModelInstruction, scopeOf, stageOf, variablesIn } from './dockerfile-model.ts';

/** Two builds of a Dockerfile. */
export interface Builds {
  readonly past: BuildView;
  readonly now: BuildView;
  readonly alignment: Alignment;
}

/** An instruction and what it was. */
export interface InstructionPair {
  readonly past: ModelInstruction;
  readonly now: ModelInstruction;
}

/** The values that keys show, where they do. */
export interface Values {
  readonly before?: string | undefined;
  readonly after?: string | undefined;
}

interface Definer {
  readonly instruction: ModelInstruction;
  readonly value: string | undefined;
}

/**
 * The instruction that a variable gets its value from at another one: the last ENV before it, else the last ARG. One without
 * default takes that of the argument before the first FROM, and without such a one the value that it had.
 */
function definerOf(model: DockerfileModel, at: ModelInstruction, name: string): Definer | undefined {
  const scope = scopeOf(model, at);
  const setters = scope.flatMap(instruction => {
    const setting = instruction.settings.findLast(one => one.name === name);
    return setting === undefined ? [] : [{ instruction, value: setting.value }];
  });
  const variable = setters.findLast(({ instruction }) => instruction.keyword === 'ENV');
  if (variable !== undefined) return variable;
  const last = setters.at(-1);
  if (last?.value !== undefined || metaArg(model, name) !== undefined) return last;
  return setters.findLast(({ value }) => value !== undefined) ?? last;
}

function metaArg(model: DockerfileModel, name: string): Definer | undefined {
  const found = model.metaArgs.findLast(({ settings }) => settings.some(one => one.name === name));
  const value = found?.settings.findLast(one => one.name === name)?.value;
  return found && { instruction: found, value };
}

/**
 * Why a variable differs at an instruction, down to what was really changed: a flag, the line that sets it, or the lines
 * that those refer to. Empty when the Dockerfile and the flags do not tell.
 */
export function variableCauses(name: string, at: InstructionPair, builds: Builds, values: Values = {}): Cause[] {
  const { past, now } = modelsOf(builds);
  if (!past || !now) return [];
  return compareDefiners(name, definerOf(past, at.past, name), definerOf(now, at.now, name), builds, values, at);
}

/** The same for a variable of a FROM: only arguments before the first FROM count there. */
export function globalVariableCauses(name: string, builds: Builds): Cause[] {
  const { past, now } = modelsOf(builds);
  if (!past || !now) return [];
  return compareDefiners(name, metaArg(past, name), metaArg(now, name), builds, {});
}

function modelsOf({ past, now }: Builds) {
  return { past: past.model, now: now.model };
}

function compareDefiners(
  name: string,
  before: Definer | undefined,
  after: Definer | undefined,
  builds: Builds,
  values: Values,
  at?: InstructionPair,
): Cause[] {
  const { alignment } = builds;
  const [one, other] = [before?.instruction, after?.instruction];
  const definer = other ?? one;
  if (definer === undefined) return [];
  const fromArgs =
    definer.keyword === 'ARG' && one?.keyword !== 'ENV' ? argumentCause(name, builds, values) : undefined;
  if (fromArgs !== undefined) return [fromArgs];
  const movedOne = [other, one].find(found => found !== undefined && alignment.isMoved(found));
  if (one !== undefined && other !== undefined && alignment.oldOf(other) === one) {
    if (before?.value === after?.value) return deeperCauses(name, before, after, builds, values);
  } else if (movedOne !== undefined) return [movedCause(movedOne, builds)];
  // The line is in both files: it is the one that reads it that was moved past it.
  else if (at !== undefined && alignment.isMoved(at.now) && isInBoth(definer, alignment)) {
    return [movedCause(at.now, builds)];
  }
  return [
    {
      kind: 'variable',
      instruction: definer.keyword === 'ENV' ? 'ENV' : 'ARG',
      name,
      from: 'dockerfile',
      line: definer.line,
      ...given('before', shown(name, values.before ?? before?.value)),
      ...given('after', shown(name, values.after ?? after?.value)),
    },
  ];
}

function isInBoth(instruction: ModelInstruction, { oldOf, newOf }: Alignment): boolean {
  return oldOf(instruction) !== undefined || newOf(instruction) !== undefined;
}

/** The line that sets it stayed: what it refers to changed, or the argument of the same name before the first FROM. */
function deeperCauses(
  name: string,
  before: Definer | undefined,
  after: Definer | undefined,
  builds: Builds,
  values: Values,
): Cause[] {
  if (before === undefined || after === undefined) return [];
  const { instruction, value } = after;
  const isGlobal = builds.now.model?.metaArgs.includes(instruction) ?? false;
  if (value === undefined) {
    const { past, now } = modelsOf(builds);
    return !past || !now || isGlobal
      ? []
      : compareDefiners(name, metaArg(past, name), metaArg(now, name), builds, values);
  }
  const pair = { past: before.instruction, now: instruction };
  return variablesIn(value)
    .filter(one => one !== name)
    .flatMap(one => (isGlobal ? globalVariableCauses(one, builds) : variableCauses(one, pair, builds)));
}

function argumentCause(name: string, { past, now }: Builds, values: Values): Cause | undefined {
  const before = shown(name, past.summary.options.buildArgs?.[name]);
  const after = shown(name, now.summary.options.buildArgs?.[name]);
  if (before === after) return undefined;
  return {
    kind: 'variable',
    instruction: 'ARG',
    name,
    from: 'build-arg',
    ...given('before', values.before ?? before),
    ...given('after', values.after ?? after),
  };
}

function shown(name: string, value: string | undefined): string | undefined {
  return value === undefined ? undefined : shownValue(name, value);
}

/** That an instruction stands elsewhere. */
export function movedCause(instruction: ModelInstruction, { now, past, alignment }: Builds): Cause {
  const current = alignment.newOf(instruction) ?? instruction;
  const old = alignment.oldOf(current) ?? instruction;
  return {
    kind: 'instruction',
    change: 'moved',
    stage: stageName(now, current) ?? stageName(past, old) ?? '',
    line: current.line,
    before: old.text,
    after: current.text,
  };
}

function stageName({ model }: BuildView, instruction: ModelInstruction): string | undefined {
  return model === undefined ? undefined : stageOf(model, instruction)?.name;
}

/**
 * What happened to the instructions of some kind that a step stands under (WORKDIR, USER, SHELL): changed, added, removed
 * or moved ones, and what their variables come from.
 */
export function scopeCauses(keyword: string, at: InstructionPair, builds: Builds): Cause[] {
  const { past, now } = modelsOf(builds);
  if (!past || !now) return [];
  const { alignment } = builds;
  const isIt = (one: ModelInstruction) => one.keyword === keyword;
  const old = scopeOf(past, at.past).filter(isIt);
  const current = scopeOf(now, at.now).filter(isIt);
  const causes: Cause[] = [];
  for (const instruction of current) {
    const was = alignment.oldOf(instruction);
    if (alignment.isMoved(instruction)) causes.push(movedCause(instruction, builds));
    else if (was === undefined || !old.includes(was)) causes.push(instructionCause('added', instruction, builds));
    else if (!isSame(was, instruction)) causes.push(instructionCause('changed', instruction, builds));
    else {
      const pair = { past: was, now: instruction };
      for (const name of variablesIn(instruction.text)) causes.push(...variableCauses(name, pair, builds));
    }
  }
  for (const instruction of old) {
    const is = alignment.newOf(instruction);
    if (alignment.isMoved(instruction)) causes.push(movedCause(instruction, builds));
    else if (is === undefined || !current.includes(is)) causes.push(instructionCause('removed', instruction, builds));
  }
  return causes;
}

/** That an instruction is new, gone, or says something else. */
export function instructionCause(
  change: 'added' | 'removed' | 'changed',
  instruction: ModelInstruction,
  { past, now, alignment }: Builds,
): Cause {
  const stage = stageName(change === 'removed' ? past : now, instruction) ?? '';
  const was = change === 'changed' ? alignment.oldOf(instruction) : undefined;
  return {
    kind: 'instruction',
    change,
    stage,
    line: instruction.line,
    ...given('before', change === 'removed' ? instruction.text : was?.text),
    ...given('after', change === 'removed' ? undefined : instruction.text),
  };
}
