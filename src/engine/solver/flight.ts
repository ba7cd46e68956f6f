/** Work that several may wait for and that runs once. */

/** A piece of work that has one outcome for all. */
export interface Flight<T> {
  /**
   * The outcome; starts the work, under `signal`, if it is not under way. Who started it waits for its end when
   * `signal` aborts; the others leave at once when theirs does. A run that fails after its abort is forgotten, and
   * another who waits for it starts it anew.
   */
  join(signal: AbortSignal): Promise<T>;
}

interface Run<T> {
  readonly signal: AbortSignal;
  readonly outcome: Promise<T>;
}

/** Work that starts when someone joins. */
export function flight<T>(work: (signal: AbortSignal) => Promise<T>): Flight<T> {
  let current: Run<T> | undefined;

  return {
    async join(signal) {
      signal.throwIfAborted();
      if (current === undefined) {
        const run = { signal, outcome: work(signal) };
        current = run;
        try {
          return await run.outcome;
        } catch (error) {
          if (signal.aborted && current === run) current = undefined;
          throw error;
        }
      }
      const run = current;
      try {
        return await unlessAborted(run.outcome, signal);
      } catch (error) {
        if (!run.signal.aborted || signal.aborted) throw error;
      }
      if (current === run) current = undefined;
      return await this.join(signal);
    },
  };
}

/** What a promise gives, or the reason of the signal if that aborts first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
