import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { declare } from './libc.ts';
import { MountFlag, mount } from './mount.ts';
import { check } from './system-error.ts';

const CLONE_NEWNS = 0x20000;

const unshareNative = declare<[number]>('unshare', 'int', ['int']);

let entered = false;

/** The namespace cannot be entered because threads exist that would stay outside of it. */
export class NamespaceError extends Error {
  override readonly name = 'NamespaceError';
}

/**
 * Moves this process into a mount namespace of its own, so that what it mounts dies with it. Mounts that the host
 * makes later still appear; ours never appear outside.
 *
 * A namespace belongs to a thread. Only threads and children that the main thread creates afterwards inherit it, so
 * this must run before anything uses libuv's thread pool (asynchronous file system calls, DNS, compression) and before
 * the first worker. Calling it again does nothing.
 *
 * Throws `NamespaceError` when called too late or in a worker, and `SystemError` (`EPERM`) without the privilege.
 */
export function enterPrivateMountNamespace(): void {
  if (entered) return;
  if (!onMainThread()) throw new NamespaceError('a mount namespace can only be entered on the main thread');
  const threads = strayThreads();
  if (threads.length > 0) {
    throw new NamespaceError(
      `a mount namespace must be entered before other threads start; already running: ${threads.join(', ')}`,
    );
  }
  check(unshareNative(CLONE_NEWNS), 'unshare');
  mount({ target: '/', flags: MountFlag.recursive | MountFlag.slave });
  entered = true;
}

/** Whether `enterPrivateMountNamespace` has been called in this thread. */
export function inPrivateMountNamespace(): boolean {
  return entered;
}

/** Asked of the system, because Node's module for threads takes longer to load than all else here. */
function onMainThread(): boolean {
  const [process, , thread] = readlinkSync('/proc/thread-self').split('/');
  return process === thread;
}

/** Threads that run JavaScript or touch files for it; V8's own helpers do neither. */
function strayThreads(): string[] {
  const found: string[] = [];
  for (const id of readdirSync('/proc/self/task')) {
    let name: string;
    try {
      name = readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim();
    } catch {
      continue;
    }
    if (name === 'libuv-worker' || name.startsWith('WorkerThread')) found.push(name);
  }
  return found;
}
