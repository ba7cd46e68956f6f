import type { PlanContext } from './plan-context.ts';
import type { StageState } from './stage.ts';

const COMMENT = 'buildkit.dockerfile.v0';

/** Notes in the image's history what an instruction did. */
export function addHistory(
  { epoch }: Pick<PlanContext, 'epoch'>,
  stage: StageState,
  text: string,
  makes: 'a layer' | 'no layer',
): void {
  stage.image.history.push({
    ...(epoch === undefined ? {} : { created: formatEpoch(epoch) }),
    created_by: text,
    comment: COMMENT,
    ...(makes === 'a layer' ? {} : { empty_layer: true }),
  });
}

/** Seconds since 1970 as RFC 3339 text. */
function formatEpoch(epoch: number): string {
  return new Date(epoch * 1000).toISOString().replace(/\.000Z$/, 'Z');
}

const UNITS: readonly (readonly [nanoseconds: number, name: string])[] = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
];

/** Nanoseconds as Go prints a duration: `1m30s`, `250ms`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  const sign = nanoseconds < 0 ? '-' : '';
  const value = BigInt(Math.abs(nanoseconds));
  if (value < 1_000_000_000n) {
    const [size, name] = UNITS.find(([unit]) => value >= BigInt(unit)) ?? [1, 'ns'];
    return `${sign}${decimal(value, BigInt(size))}${name}`;
  }
  const minutes = value / 60_000_000_000n;
  const seconds = `${decimal(value % 60_000_000_000n, 1_000_000_000n)}s`;
  if (minutes === 0n) return sign + seconds;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

function decimal(value: bigint, unit: bigint): string {
  const fraction = String(value % unit)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '');
  return `${value / unit}${unit === 1n || fraction === '' ? '' : `.${fraction}`}`;
}
