import { createHash } from 'node:crypto';
import { trimGoSpace } from '../../wire/fsutil/go-path.ts';
import type { Ref } from '../ops/ref.ts';
import type { CacheMap } from '../solver/op.ts';
import type { KeyPart } from '../status/event.ts';

/** A source that is named wrongly, or is not what its attributes say. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

/** One answer of a source to "what is your key?". */
export interface SourceKey {
  /** The text that is hashed; one that begins with `session:` never leaves this machine's cache. */
  readonly key: string;
  /** The JSON that `key` is the digest of, where it is one. */
  readonly preimage?: string;
  readonly parts: readonly KeyPart[];
}

/** The cache map of a source (cache-keys of BuildKit: sources). */
export function sourceCacheMap({ key, parts }: SourceKey): CacheMap<Ref> {
  const hex = createHash('sha256').update(`buildkit.source.v0:${key}`).digest('hex');
  return { digest: `${key.startsWith('session:') ? 'random' : 'sha256'}:${hex}`, parts, deps: [] };
}

/**
 * An integer attribute as Go's `strconv.ParseInt(text, 0, 64)` reads it: decimal, `0644` and `0o644` octal, `0x1a4`, `0b1`.
 * @throws SourceError
 */
export function parseInteger(name: string, text: string): number {
  const match = /^([+-]?)(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*)$/.exec(text);
  const digits = match?.[2]?.replaceAll('_', '').replace(/^0[oO]?(?=[0-7])/, '0o');
  const value = digits === undefined ? Number.NaN : Number(digits);
  if (!Number.isSafeInteger(value)) throw new SourceError(`invalid ${name}: "${text}" is not a number`);
  return match?.[1] === '-' ? -value : value;
}

const DEFAULT_NAME = 'download';

/** The last element of a path as a name for a file; `download` when that cannot be one. */
export function safeFileName(text: string): string {
  const name = baseName(trimGoSpace(text));
  return name === '' || name === '.' || name === '..' || name === '/' || hasControl(name) ? DEFAULT_NAME : name;
}

/** Go's `path.Base`. */
export function baseName(path: string): string {
  if (path === '') return '.';
  const stripped = path.replace(/\/+$/, '');
  return stripped === '' ? '/' : stripped.slice(stripped.lastIndexOf('/') + 1);
}

function hasControl(name: string): boolean {
  return /\p{Cc}/u.test(name);
}

/** The text, with user and password masked where it is a URL that has them, as Go's `URL.Redacted` masks. */
export function redactUrl(text: string): string {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*:\/\/)([^/?#]*)@([^/?#@]*)(.*)$/s.exec(text);
  if (!match) return text;
  const [, scheme = '', credentials = '', host = '', rest = ''] = match;
  // Go takes it for no URL: `oci-layout://store@sha256:…`.
  if (!/^([^:]*|\[[^\]]*\])(:\d*)?$/.test(host)) return text;
  const colon = credentials.indexOf(':');
  const user = (colon < 0 ? credentials : credentials.slice(0, colon)) === '' ? '' : 'xxxxx';
  return `${scheme}${user}${colon < 0 ? '' : ':xxxxx'}@${host}${rest}`;
}
