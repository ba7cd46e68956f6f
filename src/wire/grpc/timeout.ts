const UNITS: readonly (readonly [unit: string, milliseconds: number])[] = [
  ['n', 1e-6],
  ['u', 1e-3],
  ['m', 1],
  ['S', 1000],
  ['M', 60_000],
  ['H', 3_600_000],
];
const MOST_DIGITS = 8;

/** A `grpc-timeout` in milliseconds; undefined when it is malformed. */
export function parseTimeout(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  const factor = UNITS.find(([name]) => name === unit)?.[1];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}

/** The `grpc-timeout` for so many milliseconds, in the finest unit that has place for it, rounded up. */
export function formatTimeout(milliseconds: number): string {
  for (const [unit, factor] of UNITS) {
    const count = String(Math.ceil(Math.max(milliseconds, 0) / factor));
    if (count.length <= MOST_DIGITS) return `${count}${unit}`;
  }
  return `99999999H`;
}
