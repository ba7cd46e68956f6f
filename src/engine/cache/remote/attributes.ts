/** Reads attributes of `--cache-to` and `--cache-from`. */

import { suggest } from '../../../plan/dockerfile/suggest.ts';
import { parseGoBool } from '../../../wire/go-bool.ts';
import type { CompressionOptions } from '../../exporter/attributes.ts';

/** A `--cache-to` or `--cache-from` that cannot be obeyed. */
export class CacheOptionsError extends Error {
  override readonly name = 'CacheOptionsError';
}

/** Attributes of one cache, each read with what it means; errors begin with `subject`. */
export interface AttributeReader {
  /** Undefined when it is missing or empty. */
  text(key: string): string | undefined;
  /** @throws CacheOptionsError when it is missing or empty. */
  required(key: string): string;
  boolean(key: string, fallback: boolean): boolean;
  /** An integer of at least 1. */
  positive(key: string): number | undefined;
  /** One of some words. */
  word<W extends string>(key: string, words: readonly [W, ...W[]]): W;
  /** Milliseconds. */
  duration(key: string, fallback: number): number;
  compression(): CompressionOptions;
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Every attribute that means something in some cache; others are ignored, unless they look like one of these. */
const known = (
  'mode ignore-error merge mounts ref image-manifest oci-mediatypes compression compression-level force-compression ' +
  'registry.insecure dest src tag digest reset max-age scope url url_v2 version token timeout repository ghtoken ' +
  'bucket region prefix manifests_prefix blobs_prefix name endpoint_url use_path_style access_key_id ' +
  'secret_access_key session_token touch_refresh upload_parallelism disable_accept_encoding retry_mode ' +
  'retry_max_attempts account_url account_name container'
).split(' ');

/**
 * @param subject - what the attributes are of: `local cache exporter`
 * @throws CacheOptionsError for an attribute that looks like a misspelt one.
 */
export function attributeReader(subject: string, attributes: Readonly<Record<string, string>>): AttributeReader {
  for (const key of Object.keys(attributes)) {
    const near = known.includes(key) ? undefined : suggest(key, known, { caseSensitive: true });
    if (near !== undefined) throw new CacheOptionsError(`${subject}: unknown attribute ${key} (did you mean ${near}?)`);
  }
  const text = (key: string) => attributes[key] || undefined;
  const fail = (message: string) => new CacheOptionsError(`failed to configure ${subject}: ${message}`);

  function integer(key: string): number | undefined {
    const value = text(key);
    if (value === undefined) return undefined;
    if (/^[+-]?\d+$/.test(value)) return Number(value);
    throw new CacheOptionsError(
      `non-integer value ${value} specified for ${key}: strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  }

  const reader: AttributeReader = {
    text,
    required(key) {
      const value = text(key);
      if (value === undefined) throw new CacheOptionsError(`${subject} requires ${key}`);
      return value;
    },
    boolean(key, fallback) {
      const value = attributes[key];
      if (value === undefined) return fallback;
      const said = parseGoBool(value);
      if (said !== undefined) return said;
      throw fail(`failed to parse ${key}: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
    },
    positive(key) {
      const value = text(key);
      if (value === undefined) return undefined;
      if (/^\+?\d+$/.test(value) && Number(value) >= 1) return Number(value);
      throw new CacheOptionsError(`${key} must be a positive integer`);
    },
    word(key, words) {
      const value = text(key) ?? words[0];
      const found = words.find(word => word === value.toLowerCase());
      if (found !== undefined) return found;
      const near = suggest(value, words, { caseSensitive: false });
      const hint = near === undefined ? '' : ` (did you mean ${near}?)`;
      throw new CacheOptionsError(`${subject}: ${key}=${value} means nothing: it is ${words.join(' or ')}${hint}`);
    },
    duration(key, fallback) {
      const value = text(key);
      if (value === undefined) return fallback;
      const milliseconds = parseDuration(value);
      if (milliseconds !== undefined) return milliseconds;
      throw fail(`time: invalid duration ${JSON.stringify(value)} for ${key}: write it as 90s, 15m, 24h or 7d`);
    },
    compression() {
      const type = text('compression') ?? 'gzip';
      if (type !== 'gzip' && type !== 'zstd' && type !== 'uncompressed') {
        throw new CacheOptionsError(`unsupported compression type ${type}: use gzip, zstd or uncompressed`);
      }
      const level = integer('compression-level');
      const most = type === 'zstd' ? 22 : 9;
      if (level !== undefined && (level < 0 || level > most)) {
        throw new CacheOptionsError(`compression-level ${level} is out of range: ${type} takes 0 to ${most}`);
      }
      return { type, ...(level === undefined ? {} : { level }), force: force() };
    },
  };

  function force(): boolean {
    const value = attributes['force-compression'];
    if (value === undefined) return false;
    const said = value === '' || parseGoBool(value);
    if (said !== undefined) return said;
    throw new CacheOptionsError(
      `non-bool value ${value} specified for force-compression: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  }
  return reader;
}

/** Go's durations, and days. */
function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) return undefined;
  return parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (units[unit] ?? 24 * 3_600_000), 0);
}
