/** Why what a step says of itself, its definition, is another one. */

import type { KeyPart } from '../../engine/status/event.ts';
import { given } from '../../wire/given.ts';
import type { Cause } from './cause.ts';
import { variablesIn } from './dockerfile-model.ts';
import {
  type Builds,
  type InstructionPair,
  instructionCause,
  movedCause,
  scopeCauses,
  variableCauses,
} from './variables.ts';

interface PartChange {
  readonly kind: string;
  readonly name: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface DefinitionChange {
  readonly past: readonly KeyPart[];
  readonly now: readonly KeyPart[];
  /** The instruction in both files, if one is known. */
  readonly instruction: InstructionPair | undefined;
  readonly builds: Builds;
  /** That the base image moved, if it did: what the Dockerfile does not set comes from there. */
  readonly base: () => Cause | undefined;
}

/** Flags of a build that set these parts, where no instruction does. */
const OPTIONS: Readonly<Record<string, string>> = {
  network: '--network',
  extraHost: '--add-host',
  ulimit: '--ulimit',
  cgroupParent: '--cgroup-parent',
  hostname: 'BUILDKIT_SANDBOX_HOSTNAME',
  validExitCodes: 'valid exit codes',
};

/** Where `--shm-size` mounts memory. */
const SHARED_MEMORY = '/dev/shm';

/** The causes behind a definition that differs, each as near to what a person changed as can be told. */
export function definitionCauses(change: DefinitionChange): Cause[] {
  const changes = partChanges(change.past, change.now);
  const causes = changes.flatMap(one => partCauses(one, change));
  return [...causes, ...orderCauses(change, causes.length === 0)];
}

/** Parts that differ, by kind and name. */
function partChanges(past: readonly KeyPart[], now: readonly KeyPart[]): PartChange[] {
  const before = valuesOf(past);
  const after = valuesOf(now);
  const changes: PartChange[] = [];
  for (const [key, { kind, name, values }] of after) {
    const old = before.get(key)?.values;
    if (old !== values) changes.push({ kind, name, before: old, after: values });
  }
  for (const [key, { kind, name, values }] of before) {
    if (!after.has(key)) changes.push({ kind, name, before: values, after: undefined });
  }
  return changes;
}

function valuesOf(parts: readonly KeyPart[]) {
  const found = new Map<string, { readonly kind: string; readonly name: string; values: string }>();
  for (const { kind, name, value } of parts) {
    const key = `${kind} ${name}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, { kind, name, values: value });
    else known.values += `\n${value}`;
  }
  return found;
}

function partCauses(part: PartChange, change: DefinitionChange): Cause[] {
  const { instruction, builds } = change;
  const { kind, name, before, after } = part;
  if (kind === 'platform') return [{ kind: 'platform', ...given('before', before), ...given('after', after) }];
  if (kind === 'mount') {
    // The root is listed only beside other mounts.
    if (name === '/' && !before && !after) return [];
    if (name === SHARED_MEMORY && !isMounted(SHARED_MEMORY, instruction)) {
      return [
        { kind: 'option', name: '--shm-size', ...given('before', sizeOf(before)), ...given('after', sizeOf(after)) },
      ];
    }
  }
  // Flags of the build are told for themselves, whatever else was written anew.
  const isFlag = OPTIONS[kind] !== undefined && !(kind === 'network' && setsNetwork(instruction));
  const found = instruction === undefined || isFlag ? [] : instructionCauses(part, instruction, builds);
  if (found.length > 0) return found;
  if (kind === 'env' || kind === 'cwd' || kind === 'user') {
    const base = change.base();
    if (base !== undefined) return [base];
  }
  const option = OPTIONS[kind];
  if (option !== undefined) {
    const text = (value: string | undefined) => (value === undefined ? undefined : `${name} ${value}`.trim());
    return [{ kind: 'option', name: option, ...given('before', text(before)), ...given('after', text(after)) }];
  }
  return [
    {
      kind: 'part',
      part: name === '' ? kind : `${kind} ${name}`,
      ...given('before', before),
      ...given('after', after),
    },
  ];
}

function isMounted(path: string, instruction: InstructionPair | undefined): boolean {
  return `${instruction?.past.full} ${instruction?.now.full}`.includes(path);
}

/** The bytes of a mount of memory. */
function sizeOf(mount: string | undefined): string | undefined {
  return mount === undefined ? undefined : `${/\bsize=(\d+)/.exec(mount)?.[1] ?? 0} bytes`;
}

function setsNetwork(instruction: InstructionPair | undefined): boolean {
  return /--network\b/.test(`${instruction?.past.text} ${instruction?.now.text}`);
}

function instructionCauses(part: PartChange, instruction: InstructionPair, builds: Builds): Cause[] {
  const { kind, name, before, after } = part;
  if (kind === 'env') return variableCauses(name, instruction, builds, { before, after });
  if (kind === 'user') return scopeCauses('USER', instruction, builds);
  if (kind === 'cwd') return scopeCauses('WORKDIR', instruction, builds);
  const texts = textCauses(instruction, builds);
  if (texts.length > 0) return texts;
  if (kind === 'args') return scopeCauses('SHELL', instruction, builds);
  // Relative destinations are below the working directory.
  return scopeCauses('WORKDIR', instruction, builds);
}

/** The instruction's own text, and the variables in it. */
export function textCauses(instruction: InstructionPair, builds: Builds): Cause[] {
  const { past, now } = instruction;
  const common = new Set(variablesIn(past.full));
  // A shell expands the variables of RUN itself: they count through the environment.
  const names = now.keyword === 'RUN' ? variablesIn(flagsOf(now.text)) : variablesIn(now.full);
  const variables = names.filter(name => common.has(name)).flatMap(name => variableCauses(name, instruction, builds));
  return past.full === now.full ? variables : [instructionCause('changed', now, builds), ...variables];
}

function flagsOf(text: string): string {
  return /^\S+((?:\s+--\S+)*)/.exec(text)?.[1] ?? '';
}

/** The same variables in another order: lines that were moved, or when nothing else tells, lines that were edited. */
function orderCauses({ past, now, builds }: DefinitionChange, isAll: boolean): Cause[] {
  const before = variableNames(past);
  const after = variableNames(now);
  const [old, current] = [before.filter(name => after.includes(name)), after.filter(name => before.includes(name))];
  if (old.join() === current.join()) return [];
  const { alignment } = builds;
  const lines = (builds.now.model?.stages ?? [])
    .flatMap(({ instructions }) => instructions)
    .filter(({ settings }) => settings.length > 0);
  const moved = lines.filter(one => alignment.isMoved(one)).map(one => movedCause(one, builds));
  if (moved.length > 0 || !isAll) return moved;
  const edited = lines
    .filter(one => alignment.oldOf(one)?.full !== one.full)
    .map(one => instructionCause(alignment.oldOf(one) === undefined ? 'added' : 'changed', one, builds));
  if (edited.length > 0) return edited;
  return [{ kind: 'part', part: 'order of the environment', before: old.join(' '), after: current.join(' ') }];
}

function variableNames(parts: readonly KeyPart[]): string[] {
  return parts.filter(({ kind }) => kind === 'env').map(({ name }) => name);
}
