/** Numbers that a seed determines. */
export interface Random {
  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number;
  /** Whether something that happens `once in` so many times happens. */
  once(times: number): boolean;
  pick<Value>(values: readonly [Value, ...Value[]]): Value;
  pick<Value>(values: readonly Value[]): Value | undefined;
  /** From 0 to `most` of what `make` makes. */
  some<Value>(most: number, make: () => Value): Value[];
}

/** A stream of its own for every pair of numbers (the generator is mulberry32). */
export function randomOf(seed: number, index: number): Random {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    once: times => below(times) === 0,
    pick: <Value>(values: readonly Value[]) => values[below(values.length)] as Value,
    some: (most, make) => Array.from({ length: below(most + 1) }, make),
  };
}
