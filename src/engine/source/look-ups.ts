import { type Flight, flight } from '../solver/flight.ts';

/** What names were found to mean, each asked about once: for as long as this lives, a name that moves is not seen to. */
export interface LookUps<T> {
  /** What was found for the key, or what `find` finds. A failure is not kept: who asks next has it looked for again. */
  ask(key: string, find: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** Look-ups of a build that begins. */
export function lookUps<T>(): LookUps<T> {
  const known = new Map<string, Flight<T>>();
  return {
    async ask(key, find, signal) {
      const lookUp = known.get(key) ?? flight(find);
      known.set(key, lookUp);
      try {
        return await lookUp.join(signal);
      } catch (error) {
        if (!signal.aborted && known.get(key) === lookUp) known.delete(key);
        throw error;
      }
    },
  };
}
