import { setImmediate } from 'node:timers/promises';

/** How long the loop may be kept from other work, in milliseconds. */
const SLICE = 15;

/**
 * Lets others go on beside long work: what it returns is called between the pieces of the work, and gives a promise when it
 * is time to wait, undefined as long as it is not. Throws the reason of the signal.
 */
export function breather(): (signal: AbortSignal | undefined) => Promise<void> | undefined {
  let busySince = performance.now();
  return signal => {
    signal?.throwIfAborted();
    if (performance.now() - busySince < SLICE) return undefined;
    return setImmediate().then(() => {
      busySince = performance.now();
    });
  };
}
