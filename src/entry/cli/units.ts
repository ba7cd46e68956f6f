import { UsageError } from './errors.ts';

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  p: 1024 ** 5,
};

/**
 * Bytes of a size such as `64m`, `1.5GiB`, `1024`: units are powers of 1024, as Docker's flags take them.
 * @throws UsageError when it is no size.
 */
export function parseBytes(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const factor = match ? FACTORS[(match[2] ?? '').toLowerCase()] : undefined;
  if (!match || factor === undefined) {
    throw new UsageError(`${flag} ${text}: expected a size such as 64m or 2g`);
  }
  return Math.floor(Number(match[1]) * factor);
}

/**
 * Milliseconds of a duration such as `24h`, `90m`, `7d`, `1h30m`.
 * @throws UsageError when it is no duration.
 */
export function parseDuration(text: string, flag: string): number {
  const factors: Readonly<Record<string, number>> = {
    ms: 1,
    s: 1000,
    m: 60_000,
    h: 3_600_000,
    d: 86_400_000,
    w: 604_800_000,
  };
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(text)) {
    throw new UsageError(`${flag} ${text}: expected a duration such as 24h or 7d`);
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g))
    total += Number(amount) * (factors[unit ?? ''] ?? 0);
  return total;
}

/** Bytes as Docker's tables print them, powers of 1000 with up to four digits: `1.07MB`, `512B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}

/** A span as a person says it: `12 seconds`, `About a minute`, `3 hours`, `5 days`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(hours / 24);
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 730) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}
