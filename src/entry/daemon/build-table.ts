import { setTimeout as delay } from 'node:timers/promises';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { Bridge } from './gateway/bridge.ts';
import { createProgressLog, type ProgressLog } from './progress-log.ts';

/** A build that others can find by its reference. */
export interface TableEntry {
  readonly ref: string;
  readonly progress: ProgressLog;
  /** What frontends talk to; undefined before the build takes any and after its end. */
  bridge: Bridge | undefined;
}

/** The builds that run, and those that ended just now. */
export interface BuildTable {
  /** Enters a build; it ends when what is returned is disposed. Throws StatusError when the reference is taken. */
  open(ref: string): TableEntry & Disposable;
  /** The build whose progress is asked for; waits for it to begin. Rejects with StatusError. */
  progressOf(ref: string, signal: AbortSignal): Promise<ProgressLog>;
  /** What the frontend of a build talks to; waits for it to begin. Rejects with StatusError. */
  bridgeOf(ref: string, signal: AbortSignal): Promise<Bridge>;
}

/** How long each look-up waits for a build to begin, in milliseconds (control-api facts 5.1, gateway facts 2). */
const STATUS_PATIENCE = 6000;
const BRIDGE_PATIENCE = 3000;
/** How long the progress of a build is kept after its end. */
const AFTERLIFE = 10_000;
const INTERVAL = 20;

/** An empty table. */
export function createBuildTable(): BuildTable {
  const running = new Map<string, TableEntry>();
  const ended = new Map<string, TableEntry>();

  async function wait<T>(find: () => T | undefined, ref: string, patience: number, signal: AbortSignal): Promise<T> {
    for (const end = performance.now() + patience; ; ) {
      const found = find();
      if (found !== undefined) return found;
      if (performance.now() >= end) throw new StatusError(Code.notFound, `no such job ${ref}`);
      await delay(INTERVAL, undefined, { signal });
    }
  }

  return {
    open(ref) {
      if (running.has(ref)) throw new StatusError(Code.unknown, `job ID ${ref} exists`);
      const entry: TableEntry & Disposable = {
        ref,
        progress: createProgressLog(),
        bridge: undefined,
        [Symbol.dispose]() {
          entry.bridge = undefined;
          entry.progress.close();
          running.delete(ref);
          ended.set(ref, entry);
          setTimeout(() => {
            if (ended.get(ref) === entry) ended.delete(ref);
          }, AFTERLIFE).unref();
        },
      };
      ended.delete(ref);
      running.set(ref, entry);
      return entry;
    },
    async progressOf(ref, signal) {
      return (await wait(() => running.get(ref) ?? ended.get(ref), ref, STATUS_PATIENCE, signal)).progress;
    },
    bridgeOf: (ref, signal) => wait(() => running.get(ref)?.bridge, ref, BRIDGE_PATIENCE, signal),
  };
}
