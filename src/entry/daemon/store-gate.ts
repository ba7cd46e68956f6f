import type { FileLock } from '../../host/system/lock.ts';
import { ownStore, shareStore } from '../../store/lock.ts';

/**
 * Who uses the store: builds together, pruning alone. The daemon holds the store's lock as one build does, and lends it.
 */
export interface StoreGate extends AsyncDisposable {
  /** Begins a build; waits for pruning that runs. What is returned ends it. Rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<Disposable>;
  /** Runs `work` while no build runs, here or elsewhere; waits for those that do. Rejects with the signal's reason. */
  alone<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Whether a build runs here. */
  readonly isBusy: boolean;
}

/** Takes the store of a root. @param recover removes what crashed processes left; called if nobody else uses the store */
export async function openStoreGate(root: string, recover: () => void, signal: AbortSignal): Promise<StoreGate> {
  let shared: FileLock | undefined = await shareStore(root, recover, signal);
  let builds = 0;
  /** Settles when pruning has ended. */
  let pruning: Promise<void> | undefined;
  const wakes = new Set<() => void>();

  const changed = (inner: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const wake = () => {
        wakes.delete(wake);
        inner.removeEventListener('abort', abort);
        resolve();
      };
      const abort = () => {
        wakes.delete(wake);
        reject(inner.reason);
      };
      wakes.add(wake);
      inner.addEventListener('abort', abort, { once: true });
    });
  const wakeAll = () => {
    for (const wake of [...wakes]) wake();
  };

  async function prune<T>(work: () => Promise<T>, inner: AbortSignal): Promise<T> {
    while (builds > 0) await changed(inner);
    shared?.[Symbol.dispose]();
    shared = undefined;
    try {
      using _alone = await ownStore(root, inner);
      return await work();
    } finally {
      shared = await shareStore(root, () => undefined, new AbortController().signal);
    }
  }

  return {
    get isBusy() {
      return builds > 0;
    },
    async enter(inner) {
      while (pruning !== undefined) await changed(inner);
      inner.throwIfAborted();
      builds += 1;
      let isIn = true;
      return {
        [Symbol.dispose]() {
          if (!isIn) return;
          isIn = false;
          builds -= 1;
          wakeAll();
        },
      };
    },
    async alone(work, inner) {
      while (pruning !== undefined) await changed(inner);
      const run = prune(work, inner);
      pruning = run.then(
        () => undefined,
        () => undefined,
      );
      try {
        return await run;
      } finally {
        pruning = undefined;
        wakeAll();
      }
    },
    async [Symbol.asyncDispose]() {
      shared?.[Symbol.dispose]();
      shared = undefined;
    },
  };
}
