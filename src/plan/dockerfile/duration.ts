/** A text that Go's `time.ParseDuration` refuses, with its message. */
export class DurationError extends Error {
  override readonly name = 'DurationError';
}

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);
const LIMIT = 1n << 63n;

/** Nanoseconds of a duration as Go writes it: `1m30s`, `1.5h`, `-2ms`, `0`. Throws DurationError. */
export function parseDuration(text: string): number {
  const invalid = () => new DurationError(`time: invalid duration ${quote(text)}`);
  const negative = text.startsWith('-');
  const body = text.replace(/^[+-]/, '');
  if (body === '0') return 0;
  if (body === '') throw invalid();
  let total = 0n;
  let rest = body;
  while (rest !== '') {
    const number = /^(\d*)(?:\.(\d*))?/.exec(rest);
    const whole = number?.[1] ?? '';
    const fraction = number?.[2] ?? '';
    if (number === null || (whole === '' && fraction === '')) throw invalid();
    rest = rest.slice(number[0].length);
    const name = /^[^.\d]*/.exec(rest)?.[0] ?? '';
    if (BigInt(whole || '0') > LIMIT) throw invalid();
    if (name === '') throw new DurationError(`time: missing unit in duration ${quote(text)}`);
    const unit = UNITS.get(name);
    if (unit === undefined) throw new DurationError(`time: unknown unit ${quote(name)} in duration ${quote(text)}`);
    rest = rest.slice(name.length);
    total += BigInt(whole || '0') * unit + BigInt(Math.trunc(Number(`0.${fraction || '0'}`) * Number(unit)));
    if (total > LIMIT) throw invalid();
  }
  if (!negative && total === LIMIT) throw invalid();
  return Number(negative ? -total : total);
}

/** Quotes as Go's package time does: all that is not ASCII byte by byte. */
function quote(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const char = String.fromCharCode(byte);
    if (char === '"' || char === '\\') out += `\\${char}`;
    else out += byte < 0x20 || byte >= 0x80 ? `\\x${byte.toString(16).padStart(2, '0')}` : char;
  }
  return `"${out}"`;
}
