/** A limit on how much runs at once. */
export interface Semaphore {
  /** Waits for `weight` slots, in the order of the callers; more than there are counts as all. Returns the release. */
  acquire(weight: number, signal: AbortSignal): Promise<() => void>;
}

interface Waiter {
  readonly weight: number;
  readonly admit: () => void;
}

/** A semaphore of `slots` slots. */
export function semaphore(slots: number): Semaphore {
  const waiters = new Set<Waiter>();
  let free = slots;

  function admit(): void {
    for (const waiter of waiters) {
      if (waiter.weight > free) return;
      free -= waiter.weight;
      waiters.delete(waiter);
      waiter.admit();
    }
  }

  return {
    async acquire(wanted, signal) {
      signal.throwIfAborted();
      const weight = Math.min(wanted, slots);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiter: Waiter = { weight, admit: resolve };
      const abort = () => {
        if (!waiters.delete(waiter)) return;
        reject(signal.reason);
        admit();
      };
      signal.addEventListener('abort', abort, { once: true });
      waiters.add(waiter);
      admit();
      try {
        await promise;
      } finally {
        signal.removeEventListener('abort', abort);
      }
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        free += weight;
        admit();
      };
    },
  };
}
