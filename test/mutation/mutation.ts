/** A change, and what an explanation has to say of it. */
import type { Cause } from '../../src/insight/explain/cause.ts';
import type { CorpusEntry } from './corpus.ts';
import type { Picker, State } from './state.ts';

export interface Mutation {
  readonly what: string;
  readonly apply: () => void;
  /** Paths, names or lines: a second change to one of them would hide the first. */
  readonly about: readonly string[];
  /** Whether a cause is this change. */
  readonly isCause: (cause: Cause) => boolean;
  /** No step may run because of it. */
  readonly isSilent?: true;
  /** Steps need not run: an earlier build may have been the same, or nothing uses it. */
  readonly mayBeSilent?: true;
  /** A flag of one build. */
  readonly isOfBuild?: true;
  /** What later changes cannot be told from. */
  readonly isLast?: true;
}

/** A change, or undefined where there is nothing to change. `fresh` makes words that were never used. */
export type Maker = (state: State, pick: Picker, fresh: () => string) => Mutation | undefined;

type FileCause = Extract<Cause, { kind: 'file' }>;

export const isFile =
  (path: string, test: (cause: FileCause) => boolean) =>
  (cause: Cause): boolean =>
    cause.kind === 'file' && cause.path === path && test(cause);

export const isInstruction =
  (text: string, change: string) =>
  (cause: Cause): boolean =>
    cause.kind === 'instruction' && (cause.after ?? cause.before) === text && cause.change === change;

/** @param after - the value that has to be named, if it is known */
export const isVariable =
  (instruction: string, name: string, after?: string) =>
  (cause: Cause): boolean =>
    cause.kind === 'variable' &&
    cause.instruction === instruction &&
    cause.name === name &&
    (after === undefined || cause.after === after);

export const isRecord =
  (reason: string, detail = /(?:)/) =>
  (cause: Cause): boolean =>
    cause.kind === 'record' && cause.reason === reason && detail.test(cause.detail ?? '');

/** A file of which just this changed. */
export function isAspect(aspect: string) {
  return ({ change, aspects, atLeast }: FileCause) => change === 'changed' && aspects.join() === aspect && !atLeast;
}

export const isContent = isAspect('content');

export function isRead({ reads }: CorpusEntry, path: string): boolean {
  return path !== '.dockerignore' && reads.some(one => one === '' || path === one || path.startsWith(`${one}/`));
}

/** The files that are there and no links, by path. */
export function filesOf(state: State, test: (path: string) => boolean) {
  return [...state.files].filter(([path, { link }]) => link === undefined && test(path));
}

/** A file that a change added: no Dockerfile names it. */
export const isMade = (path: string): boolean => path.includes('/new-');

/** A directory of sources that steps read as a whole. */
export function directoryOf(state: State, pick: Picker): string | undefined {
  const [beside] = pick(filesOf(state, one => one.startsWith('src/'))) ?? [];
  const directory = beside?.slice(0, beside.lastIndexOf('/'));
  return directory !== undefined && isRead(state.entry, `${directory}/new-`) ? directory : undefined;
}

/** A silent change. */
export function silent(what: string, apply: () => void): Mutation {
  return { what, apply, about: [], isCause: () => false, isSilent: true };
}

/** Whether anything after a line is built with what it sets. */
export function isUsedBelow({ lines }: State, index: number): boolean {
  const end = lines.findIndex((line, at) => at > index && /^FROM /.test(line));
  const own = lines.slice(index + 1, end < 0 ? undefined : end);
  if (own.some(line => /^run /i.test(line))) return true;
  const name = / AS (\w+)$/.exec(lines.findLast((line, at) => at < index && /^FROM /.test(line)) ?? '')?.[1];
  return name !== undefined && lines.some(line => line.startsWith(`FROM ${name} `) || line === `FROM ${name}`);
}

/** Lines of the Dockerfile with their numbers, from 0; none of stages that were added for nothing. */
export function linesOf({ lines }: State, pattern: RegExp): (readonly [number, string])[] {
  const isNeeded = (index: number) =>
    !/ AS n\d\w*$/.test(lines.findLast((line, at) => at < index && /^FROM /.test(line)) ?? '');
  return [...lines.entries()].filter(([index, line]) => pattern.test(line) && isNeeded(index));
}

export const replaceLine = (state: State, index: number, line: string): void => {
  state.lines = state.lines.with(index, line);
};

export const insertLine = (state: State, index: number, line: string): void => {
  state.lines = state.lines.toSpliced(index, 0, line);
};

export const removeLine = (state: State, index: number): void => {
  state.lines = state.lines.toSpliced(index, 1);
};

/** A changed Dockerfile is a changed file of the context too where it lies in it. */
export function ofDockerfile(state: State, isCause: Mutation['isCause']): Mutation['isCause'] {
  if (!state.entry.inContext) return isCause;
  const isItself = isFile('Dockerfile', isContent);
  return cause => isCause(cause) || isItself(cause);
}

/** A line that says something else. @param cause - the instruction that is named, if it is not the line */
export function lineChange(state: State, index: number, line: string, cause = line): Mutation {
  return {
    what: `line ${index + 1}, ${state.lines[index]}, becomes ${line}`,
    apply: () => replaceLine(state, index, line),
    about: [state.lines[index] ?? '', line],
    isCause: ofDockerfile(state, isInstruction(cause, 'changed')),
  };
}

/** A line that is gone. */
export function lineRemoval(state: State, index: number, line: string): Mutation {
  return {
    what: `remove line ${index + 1}, ${line}`,
    apply: () => removeLine(state, index),
    about: [line],
    isCause: ofDockerfile(state, isInstruction(line, 'removed')),
    mayBeSilent: true,
  };
}

/** A file or link that is gone. */
export function fileRemoval(state: State, path: string): Mutation {
  return {
    what: `remove ${path}`,
    apply: () => state.files.delete(path),
    about: [path],
    isCause: isFile(path, ({ change }) => change === 'removed'),
    mayBeSilent: true,
  };
}
