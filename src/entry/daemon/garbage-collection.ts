import { messageOf } from '../../engine/solver/errors.ts';
import type { DaemonLog } from './daemon-log.ts';
import type { DaemonServices } from './daemon-services.ts';
import { collectGarbage } from './usage-service.ts';

/** Makes room by the worker's rules, as BuildKit does: after builds, and not all the time. */
export interface GarbageCollection extends AsyncDisposable {
  /** A build has ended: it may have left what the rules give up. */
  buildEnded(): void;
}

/** How long after a build, in milliseconds: the next one may come at once. */
const PAUSE = 1000;
/** The shortest time between two collections, in milliseconds. */
const INTERVAL = 60_000;
/** Looking at all that the cache keeps takes no more than this part of the time. */
const SHARE = 1 / 20;

/** Starts collecting for a daemon; a worker without rules collects nothing. */
export function openGarbageCollection(services: DaemonServices, log: DaemonLog): GarbageCollection {
  const { gcPolicy } = services.worker;
  const ended = new AbortController();
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let earliest = 0;

  async function collect(): Promise<void> {
    const started = performance.now();
    try {
      for (const policy of gcPolicy) {
        const removed = await collectGarbage(services, policy, ended.signal);
        if (removed > 0) log.debug(`gc cleaned up ${removed} bytes`, {});
      }
    } catch (error) {
      if (!ended.signal.aborted) log.error(`gc error: ${messageOf(error)}`, {});
    }
    const took = performance.now() - started;
    earliest = performance.now() + Math.max(INTERVAL, took / SHARE);
  }

  return {
    buildEnded() {
      if (gcPolicy.length === 0 || timer !== undefined || ended.signal.aborted) return;
      const wait = Math.max(PAUSE, earliest - performance.now());
      timer = setTimeout(async () => {
        running = collect();
        await running;
        timer = undefined;
      }, wait).unref();
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      clearTimeout(timer);
      await running;
    },
  };
}
