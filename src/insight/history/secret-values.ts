/** Values that are not shown, because the name of their ARG or ENV says that they are secret. */
import { createHmac, randomBytes } from 'node:crypto';
import type { KeyPart } from '../../engine/status/event.ts';
import { isSecretName } from '../../plan/dockerfile/secret-name.ts';
import type { BuildOptions } from './build-record.ts';

const MASK = '***';
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
