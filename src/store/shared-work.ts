/**
 * Work that several callers may ask for at the same time and that is then done once. It is aborted when the last caller
 * who still waits has aborted; a failure goes to all who wait, and is tried again by the next who asks.
 *
 * @param work Does it; `key` says what.
 */
export function sharedWork<K, T>(
  work: (key: K, signal: AbortSignal) => Promise<T>,
): (key: K, signal: AbortSignal) => Promise<T> {
  const running = new Map<K, { readonly result: Promise<T>; readonly controller: AbortController; waiting: number }>();

  return async (key, signal) => {
    signal.throwIfAborted();
    let entry = running.get(key);
    if (entry === undefined || entry.controller.signal.aborted) {
      const controller = new AbortController();
      const result = work(key, controller.signal);
      const own = { result, controller, waiting: 0 };
      entry = own;
      running.set(key, own);
      const forget = (): void => {
        if (running.get(key) === own) running.delete(key);
      };
      result.then(forget, forget);
    }
    const shared = entry;
    shared.waiting++;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    aborted.catch(() => {});
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([shared.result, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      shared.waiting--;
      if (shared.waiting === 0 && signal.aborted) {
        shared.controller.abort(signal.reason);
        // Whoever aborts may count on the work having stopped.
        await shared.result.catch(() => {});
      }
    }
  };
}

/** A number of slots that are taken in the order of asking. */
export function semaphore(slots: number): { take(signal: AbortSignal): Promise<Disposable> } {
  let free = slots;
  const waiting: (() => void)[] = [];

  const slot = (): Disposable => {
    let isHeld = true;
    return {
      [Symbol.dispose]() {
        if (!isHeld) return;
        isHeld = false;
        const next = waiting.shift();
        if (next === undefined) free++;
        else next();
      },
    };
  };

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free--;
        return slot();
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push(resolve);
      const onAbort = (): void => {
        const index = waiting.indexOf(resolve);
        if (index < 0) return;
        waiting.splice(index, 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        await promise;
        return slot();
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
  };
}
