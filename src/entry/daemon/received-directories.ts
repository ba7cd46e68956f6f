import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, hexOf } from '../../wire/oci/digest.ts';

/**
 * Copies of directories of clients, kept from build to build, so that of the next transfer only what changed has to travel.
 * While a build reads a copy, nobody writes to it.
 */
export interface ReceivedDirectories {
  /** Begins a use of copies by a client. What its builds take stays theirs until all of its uses have ended. */
  hold(session: string): ReceivedHold;
}

/** One use of copies. Disposing ends it. */
export interface ReceivedHold extends Disposable {
  /**
   * The copy that was received last under a key, for this client alone; a fresh one if others use it.
   * @returns an existing directory
   */
  take(key: string): string;
  /** Throws a copy away that a failed transfer left in an unknown state. */
  drop(directory: string): void;
}

/** Copies of one key that are kept while nobody uses them. */
const KEPT = 2;

/** Copies below a directory that no other process uses. */
export function openReceivedDirectories(root: string): ReceivedDirectories {
  const taken = new Set<string>();
  const holders = new Map<string, { uses: number; readonly directories: Set<string> }>();

  function release(directory: string): void {
    taken.delete(directory);
    const number = Number(directory.slice(directory.lastIndexOf('/') + 1));
    if (number >= KEPT) rmSync(directory, { recursive: true, force: true });
  }

  return {
    hold(session) {
      const holder = holders.get(session) ?? { uses: 0, directories: new Set() };
      holders.set(session, holder);
      holder.uses += 1;
      let isHeld = true;
      return {
        take(key) {
          const place = join(root, hexOf(digestOf(key)).slice(0, 32));
          for (let number = 0; ; number++) {
            const directory = join(place, String(number));
            if (taken.has(directory)) continue;
            mkdirSync(directory, { recursive: true });
            taken.add(directory);
            holder.directories.add(directory);
            return directory;
          }
        },
        drop(directory) {
          rmSync(directory, { recursive: true, force: true });
          holder.directories.delete(directory);
          taken.delete(directory);
        },
        [Symbol.dispose]() {
          if (!isHeld) return;
          isHeld = false;
          holder.uses -= 1;
          if (holder.uses > 0) return;
          holders.delete(session);
          for (const directory of holder.directories) release(directory);
        },
      };
    },
  };
}
