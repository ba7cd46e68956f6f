import type { FileLock } from '../../host/system/lock.ts';
import { ownStore, ownStoreBesideBuilds, shareStore } from '../../store/lock.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';

/**
 * Who uses the store: builds together, pruning beside them. The daemon holds the store's lock as one build does, and lends
 * it.
 */
export interface StoreGate extends AsyncDisposable {
  /** Begins a build; waits for pruning that runs. What is returned ends it. Rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<Disposable>;
  /**
   * Runs `work` while no other process uses the store; waits for those that do. Builds here go on, but when there are none
   * those that come wait. Rejects with the signal's reason, and with StatusError when another process waits to prune.
   */
  prune<T>(work: (isAlone: boolean) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Whether a build runs here. */
  readonly isBusy: boolean;
}

/**
 * Takes the store of a root.
 * @param recover removes what crashed processes left; called if nobody else uses the store
 * @param hold called when a build begins; what it returns is disposed with the build
 */
export async function openStoreGate(
  root: string,
  recover: () => void,
  hold: () => Disposable,
  signal: AbortSignal,
): Promise<StoreGate> {
  let shared: FileLock | undefined = await shareStore(root, recover, signal);
  let builds = 0;
  /** Whether pruning runs, and whether it does so alone. */
  let pruning: 'alone' | 'beside builds' | undefined;
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

  async function pruneAlone<T>(work: (isAlone: boolean) => Promise<T>, inner: AbortSignal): Promise<T> {
    shared?.[Symbol.dispose]();
    shared = undefined;
    try {
      using _alone = await ownStore(root, inner);
      return await work(true);
    } finally {
      shared = await shareStore(root, () => undefined, new AbortController().signal);
    }
  }

  async function pruneBesideBuilds<T>(work: (isAlone: boolean) => Promise<T>, inner: AbortSignal): Promise<T> {
    const pruned = shared && (await ownStoreBesideBuilds(root, shared, () => work(false), inner));
    if (pruned === undefined) throw new StatusError(Code.unavailable, 'another process waits to prune this store');
    shared = pruned.share;
    if (pruned.outcome.status === 'rejected') throw pruned.outcome.reason;
    return pruned.outcome.value;
  }

  return {
    get isBusy() {
      return builds > 0;
    },
    async enter(inner) {
      while (pruning === 'alone') await changed(inner);
      inner.throwIfAborted();
      builds += 1;
      const held = hold();
      let isIn = true;
      return {
        [Symbol.dispose]() {
          if (!isIn) return;
          isIn = false;
          builds -= 1;
          held[Symbol.dispose]();
        },
      };
    },
    async prune(work, inner) {
      while (pruning !== undefined) await changed(inner);
      inner.throwIfAborted();
      pruning = builds > 0 ? 'beside builds' : 'alone';
      try {
        return await (pruning === 'alone' ? pruneAlone(work, inner) : pruneBesideBuilds(work, inner));
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
