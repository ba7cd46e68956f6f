/** Times in the JSON of caches: RFC 3339, read and refused as Go's `time.Time` does. */
import type { Timestamp } from '../status/event.ts';
import { CacheConfigError } from './cache-config.ts';

const whole = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;
const layout = '2006-01-02T15:04:05Z07:00';
/** The elements of the layout with what they match, in order. */
const elements: readonly (readonly [string, RegExp])[] = [
  ['2006', /^\d{4}/],
  ['-', /^-/],
  ['01', /^\d\d/],
  ['-', /^-/],
  ['02', /^\d\d/],
  ['T', /^T/],
  ['15', /^\d\d/],
  [':', /^:/],
  ['04', /^\d\d/],
  [':', /^:/],
  ['05', /^\d\d(?:[.,]\d+)?/],
  ['Z07:00', /^(?:Z|[+-]\d\d:\d\d)/],
];

/**
 * Nanoseconds since the epoch of an RFC 3339 time with any offset. Times before 1970 mean that nobody knows (Go writes
 * the year 1 then): they are 0.
 *
 * @throws CacheConfigError with Go's text
 */
export function parseTimestamp(text: string): Timestamp {
  const [, seconds, decimals = '', zone = ''] = whole.exec(text) ?? [];
  if (seconds === undefined) throw notParsed(text);
  const milliseconds = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(milliseconds)) throw new CacheConfigError(`parsing time ${quote(text)}: ${outOfRange(seconds)}`);
  if (milliseconds < 0) return 0n;
  return BigInt(milliseconds) * 1_000_000n + BigInt(decimals.slice(0, 9).padEnd(9, '0'));
}

/** The same; undefined for a text that is no time, and for none. */
export function timestampOf(text: string | undefined): Timestamp | undefined {
  try {
    return text === undefined ? undefined : parseTimestamp(text);
  } catch {
    return undefined;
  }
}

/** Says where a text stops being a time. */
function notParsed(text: string): CacheConfigError {
  let rest = text;
  for (const [element, pattern] of elements) {
    const [match] = pattern.exec(rest) ?? [];
    if (match === undefined) {
      const cannot = `cannot parse ${quote(rest)} as ${quote(element)}`;
      return new CacheConfigError(`parsing time ${quote(text)} as ${quote(layout)}: ${cannot}`);
    }
    rest = rest.slice(match.length);
  }
  return new CacheConfigError(`parsing time ${quote(text)}: extra text: ${quote(rest)}`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** Which of the numbers is too large. */
function outOfRange(seconds: string): string {
  const [, month = 0, day = 0, hour = 0, minute = 0, second = 0] = seconds.split(/[-T:]/).map(Number);
  if (month < 1 || month > 12) return 'month out of range';
  if (hour > 23) return 'hour out of range';
  if (minute > 59) return 'minute out of range';
  if (second > 59) return 'second out of range';
  return day < 1 || day > 31 ? 'day out of range' : 'time zone offset hour out of range';
}
