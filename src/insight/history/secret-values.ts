/** Values that are not shown, because the name of their ARG or ENV says that they are secret. */
import { createHmac, randomBytes } from 'node:crypto';
import type { KeyPart } from '../../engine/status/event.ts';
import { isSecretName } from '../../plan/dockerfile/secret-name.ts';
import type { BuildOptions, StepRecord } from './build-record.ts';
import { runArguments } from './run-arguments.ts';

const MASK = '***';
/** Shorter values stand in many texts that tell nothing of them. */
const SHORTEST = 4;
let key: Buffer | undefined;

/**
 * A value as it may be shown. Of a secret one only that it is, or is not, what another one is: six digits that mean nothing
 * in another process. What is masked already stays so.
 */
export function shownValue(name: string, value: string): string {
  if (!isSecretName(name) || value.startsWith(MASK)) return value;
  key ??= randomBytes(16);
  return `${MASK}${createHmac('sha256', key).update(value).digest('hex').slice(0, 6)}`;
}

/** Parts of a key as they may be shown. */
export function shownParts(parts: readonly KeyPart[]): readonly KeyPart[] {
  const isSecret = ({ kind, name }: KeyPart) => kind === 'env' && isSecretName(name);
  if (!parts.some(isSecret)) return parts;
  return parts.map(part => (isSecret(part) ? { ...part, value: shownValue(part.name, part.value) } : part));
}

/** Options of a build as they may be shown. */
export function shownOptions(options: BuildOptions): BuildOptions {
  const { buildArgs } = options;
  if (buildArgs === undefined) return options;
  const shown = Object.entries(buildArgs).map(([name, value]) => [name, shownValue(name, value)] as const);
  return { ...options, buildArgs: Object.fromEntries(shown) };
}

/** Variables with their values. */
type Variables = readonly (readonly [name: string, value: string])[];

/** Arguments of a build whose values are secret. */
export function secretArguments({ buildArgs = {} }: BuildOptions): Variables {
  return Object.entries(buildArgs).filter(([name]) => isSecretName(name));
}

/** A text as it may be shown in which values of variables may stand. */
export function shownText(text: string, variables: Variables): string {
  // A value that stands in a longer one would leave the rest of that.
  const secrets = variables
    .filter(([name, value]) => isSecretName(name) && value.length >= SHORTEST)
    .sort(([, one], [, other]) => other.length - one.length);
  return secrets.reduce((shown, [name, value]) => shown.replaceAll(value, () => shownValue(name, value)), text);
}

/** A step as it may be shown: its name has values in place of the variables that its line refers to. */
export function shownStep(
  step: StepRecord,
  secrets: Variables,
  parts: (digest: string) => readonly KeyPart[] | undefined,
): StepRecord {
  const { name, error, places, definitions } = step;
  const isAsWritten = places.length === 0 || places.some(({ text }) => name.endsWith(text));
  const own = isAsWritten ? [] : definitions.flatMap(digest => parts(digest) ?? []);
  const variables = [
    ...secrets,
    ...own.flatMap(part => (part.kind === 'env' ? [[part.name, part.value] as const] : [])),
  ];
  if (variables.length === 0) return step;
  return {
    ...step,
    name: shownText(name, variables),
    ...(error === undefined ? {} : { error: shownText(error, variables) }),
  };
}

/** Arguments as they may be shown, in the way of a command line. */
export function shownArguments(args: Variables): string {
  return args.map(([name, value]) => `${name}=${shownValue(name, value)}`).join(' ');
}

/** What made a layer as it may be shown. An image tells it with the arguments that a step had: `RUN |2 A=1 B=2 /bin/sh -c …`. */
export function shownMaker(createdBy: string): string {
  const [keyword = ''] = /^RUN /.exec(createdBy) ?? [];
  const found = runArguments(createdBy.slice(keyword.length));
  if (found === undefined) return createdBy;
  return `${keyword}|${found.args.length} ${shownArguments(found.args)} ${found.command}`.trimEnd();
}
