import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLock, lockFile, tryLockFile } from '../system/lock.ts';

/** The directory of one process that runs steps. Its lock says that the process lives. */
export interface Instance extends Disposable {
  readonly directory: string;
  /** Where the OCI runtime keeps its own state. */
  readonly stateRoot: string;
  /** Directories of processes that ended without cleaning up. */
  readonly stale: readonly StaleInstance[];
}

/** What a dead process left behind, locked so that only one other cleans it up. */
interface StaleInstance {
  readonly stateRoot: string;
  /** Containers that may still run. */
  readonly containers: readonly string[];
  /** Deletes the directory. */
  readonly remove: () => void;
}

/** Makes a directory for this process below `stateDir`, and finds those of dead ones. Throws `SystemError`. */
export async function openInstance(stateDir: string): Promise<Instance> {
  mkdirSync(stateDir, { recursive: true, mode: 0o711 });
  // Held while an instance has a directory but no lock yet.
  using _all = await lockFile(join(stateDir, 'lock'), 'exclusive');
  const stale = findStale(stateDir);
  const directory = join(stateDir, `run-${randomBytes(6).toString('hex')}`);
  mkdirSync(directory, { mode: 0o711 });
  const lock = tryLockFile(join(directory, 'lock'), 'exclusive');
  const stateRoot = join(directory, 'state');
  mkdirSync(stateRoot, { mode: 0o700 });
  return {
    directory,
    stateRoot,
    stale,
    [Symbol.dispose]() {
      try {
        // The runtime may still write there while a container ends.
        rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
      } catch {
        // The next process that starts finds it without a lock, and deletes it.
      }
      lock?.[Symbol.dispose]();
    },
  };
}

function findStale(stateDir: string): StaleInstance[] {
  const stale: StaleInstance[] = [];
  for (const name of readdirSync(stateDir)) {
    if (!name.startsWith('run-')) continue;
    const directory = join(stateDir, name);
    let lock: FileLock | undefined;
    try {
      lock = tryLockFile(join(directory, 'lock'), 'exclusive');
    } catch {
      continue;
    }
    if (lock === undefined) continue;
    const held = lock;
    const stateRoot = join(directory, 'state');
    stale.push({
      stateRoot,
      containers: listDirectories(stateRoot),
      remove() {
        rmSync(directory, { recursive: true, force: true });
        held[Symbol.dispose]();
      },
    });
  }
  return stale;
}

function listDirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter(entry => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(entry => entry.name);
  } catch {
    return [];
  }
}
