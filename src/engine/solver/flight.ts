/** Work that several may wait for, that runs once, and that ends when nobody waits any more. */

/** A piece of work that has one outcome for all. */
export interface Flight<T> {
  /**
   * The outcome; starts the work if it is not under way. When `signal` aborts, the caller stops waiting at once; the
   * last one to leave aborts the work and waits for its end. An aborted run that fails is forgotten: the next to join starts anew.
   */
  join(signal: AbortSignal): Promise<T>;
}

interface Run<T> {
  readonly controller: AbortController;
  readonly outcome: Promise<T>;
  waiting: number;
}

/** Work that starts when someone joins. */
export function flight<T>(work: (signal: AbortSignal) => Promise<T>): Flight<T> {
  let current: Run<T> | undefined;

  function begin(): Run<T> {
    const controller = new AbortController();
    const run: Run<T> = { controller, outcome: settle(), waiting: 0 };
    async function settle(): Promise<T> {
      try {
        return await work(controller.signal);
      } catch (error) {
        if (controller.signal.aborted && current?.controller === controller) current = undefined;
        throw error;
      }
    }
    run.outcome.catch(() => {});
    return run;
  }

  return {
    async join(signal) {
      signal.throwIfAborted();
      while (current?.controller.signal.aborted) {
        const ending = current;
        const outcome = await ending.outcome.then(
          value => ({ value }),
          () => undefined,
        );
        if (outcome !== undefined) return outcome.value;
        signal.throwIfAborted();
      }
      current ??= begin();
      return await waitFor(current, signal);
    },
  };
}

async function waitFor<T>(run: Run<T>, signal: AbortSignal): Promise<T> {
  run.waiting += 1;
  const { promise: left, reject } = Promise.withResolvers<never>();
  const leave = () => {
    run.waiting -= 1;
    if (run.waiting === 0) run.controller.abort(signal.reason);
    else reject(signal.reason);
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([run.outcome, left]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
