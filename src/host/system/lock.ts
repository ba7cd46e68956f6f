import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { declare, errno } from './libc.ts';
import { SystemError } from './system-error.ts';

const LOCK = { shared: 1, exclusive: 2 } as const;
const LOCK_NONBLOCK = 4;
const EAGAIN = 11;
const EINTR = 4;
const FIRST_WAIT = 2;
const LONGEST_WAIT = 100;

const flockNative = declare<[number, number]>('flock', 'int', ['int', 'int']);

/** Whether others may hold the lock at the same time. */
export type LockMode = keyof typeof LOCK;

/** A held lock. It is released by `dispose`, or when the process ends. */
export interface FileLock extends Disposable {
  readonly path: string;
  readonly mode: LockMode;
}

/**
 * Takes an advisory lock (flock(2)) on a file, which is made if missing, without waiting. Locks exclude each other
 * across processes and also inside this one. Throws `SystemError`.
 *
 * @returns The lock, or undefined if another holder is in the way.
 */
export function tryLockFile(path: string, mode: LockMode): FileLock | undefined {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    if (!attempt(descriptor, path, mode)) {
      closeSync(descriptor);
      return undefined;
    }
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return held(descriptor, path, mode);
}

/**
 * Takes an advisory lock (flock(2)) on a file, which is made if missing, and waits until it is free. Throws
 * `SystemError`, and the signal's reason when aborted.
 */
export async function lockFile(path: string, mode: LockMode, signal?: AbortSignal): Promise<FileLock> {
  signal?.throwIfAborted();
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    // A blocking flock would hold a thread that no signal can call back, so it is asked for again and again.
    for (let wait = FIRST_WAIT; !attempt(descriptor, path, mode); wait = Math.min(wait * 2, LONGEST_WAIT)) {
      await delay(wait, undefined, signal === undefined ? {} : { signal });
    }
  } catch (error) {
    closeSync(descriptor);
    signal?.throwIfAborted();
    throw error;
  }
  return held(descriptor, path, mode);
}

function attempt(descriptor: number, path: string, mode: LockMode): boolean {
  while (flockNative(descriptor, LOCK[mode] | LOCK_NONBLOCK) < 0) {
    const number = errno();
    if (number === EAGAIN) return false;
    if (number !== EINTR) throw new SystemError(number, 'flock', path);
  }
  return true;
}

function held(descriptor: number, path: string, mode: LockMode): FileLock {
  let open = true;
  return {
    path,
    mode,
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      closeSync(descriptor);
    },
  };
}
