/**
 * A number with `digits` decimals as Go's `%.Nf` prints it: the exact value of the double, ties to even. JavaScript's
 * `toFixed` takes the larger of a tie.
 */
export function toFixedHalfEven(value: number, digits: number): string {
  const scaled = Math.abs(value) * 2 ** (digits + 1);
  const isTie = Number.isInteger(scaled) && scaled % 2 === 1;
  if (!isTie) return value.toFixed(digits);
  const floor = Math.floor(Math.abs(value) * 10 ** digits);
  const even = floor % 2 === 0 ? floor : floor + 1;
  return (Math.sign(value) * (even / 10 ** digits)).toFixed(digits);
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes in decimal units, two decimals from 1000 on: `999B`, `1.00kB`, `12.50MB`. */
export function formatProgressBytes(bytes: number): string {
  if (Math.abs(bytes) < 1000) return `${bytes}B`;
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${toFixedHalfEven(value, 2)}${UNITS[unit]}`;
}

/** Nanoseconds as seconds, computed as Go's `Duration.Seconds` does. */
export function toSeconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000_000n) + Number(nanoseconds % 1_000_000_000n) / 1e9;
}
