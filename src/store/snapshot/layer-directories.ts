import { randomUUID } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UnmountFlag, unmount } from '../../host/system/mount.ts';
import { errorCode, explainWriteError } from '../content/store-error.ts';
import type { LayerID } from './layer-records.ts';

/** Where layers lie on the disk: `layers/<id>`, and `layers/.tmp/` for what is being made. */
export interface LayerDirectories {
  readonly root: string;
  /** The directory of a layer's files. */
  path(id: LayerID): string;
  exists(id: LayerID): boolean;
  ids(): LayerID[];
  /** A new directory in `.tmp`. Throws `StoreUnwritableError`. */
  temporary(): TemporaryLayer;
  /** Makes a layer disappear at once, then removes its files. */
  remove(id: LayerID): Promise<void>;
  /** Waits for removals that nobody else waits for. */
  settle(): Promise<void>;
  /** Removes what crashed processes left in `.tmp`. Only when no other process uses the store. */
  sweep(): void;
}

/** A layer that is being made. Disposing it removes everything but what was published. */
export interface TemporaryLayer extends AsyncDisposable {
  /** Its files. */
  readonly fs: string;
  /** Makes another directory beside the files. */
  directory(name: string): string;
  /**
   * Makes its files a layer, in one step. Where the layer is there already (another process made the same) these are
   * dropped.
   */
  publish(id: LayerID): void;
  /** Disposes it without anyone waiting: of an overlay's work directory that takes as long as the mount itself. */
  drop(): void;
}

export function layerDirectories(root: string): LayerDirectories {
  const temporaries = join(root, '.tmp');
  try {
    mkdirSync(temporaries, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw explainWriteError(error, root);
  }
  const path = (id: LayerID): string => join(root, id);
  const removals = new Set<Promise<void>>();

  const temporary = (): TemporaryLayer => {
    const place = join(temporaries, randomUUID());
    const fs = join(place, 'fs');
    try {
      mkdirSync(place);
      mkdirSync(fs);
      // Whatever the umask is.
      chmodSync(fs, 0o755);
    } catch (error) {
      throw explainWriteError(error, root);
    }
    const remove = (): Promise<void> => rm(place, { recursive: true, force: true });
    return {
      fs,
      directory(name) {
        const made = join(place, name);
        mkdirSync(made);
        return made;
      },
      publish(id) {
        try {
          renameSync(fs, path(id));
        } catch (error) {
          if (!/^(ENOTEMPTY|EEXIST)$/.test(errorCode(error) ?? '')) throw explainWriteError(error, root);
        }
      },
      drop() {
        // What is left after a failure is swept later.
        const removal = remove()
          .catch(() => {})
          .finally(() => removals.delete(removal));
        removals.add(removal);
      },
      [Symbol.asyncDispose]: remove,
    };
  };

  return {
    root,
    path,
    temporary,
    exists: id => existsSync(path(id)),
    ids: () => readdirSync(root).filter(name => !name.startsWith('.')),
    async remove(id) {
      const gone = join(temporaries, randomUUID());
      try {
        renameSync(path(id), gone);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return;
        throw explainWriteError(error, root);
      }
      await rm(gone, { recursive: true, force: true });
    },
    async settle() {
      await Promise.all(removals);
    },
    sweep() {
      for (const name of readdirSync(temporaries)) {
        const place = join(temporaries, name);
        detachMounts(place);
        rmSync(place, { recursive: true, force: true });
      }
    },
  };
}

/** Mounts die with their process, but a store that is used outside of a private namespace may still have some. */
function detachMounts(place: string): void {
  const outside = lstatSync(place, { throwIfNoEntry: false })?.dev;
  for (const name of namesIn(place)) {
    const path = join(place, name);
    const dev = lstatSync(path, { throwIfNoEntry: false })?.dev;
    if (dev === undefined || dev === outside) continue;
    unmount(path, UnmountFlag.detach);
  }
}

/** Empty for what is gone: a process that is ending may still remove what it dropped. */
function namesIn(place: string): string[] {
  try {
    return readdirSync(place);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Gives a layer's top directory the owner that it has in the layer below, as overlay shows the uppermost one's. */
export function inheritOwner(target: string, below: string): void {
  const { uid, gid } = lstatSync(below);
  chownSync(target, uid, gid);
}
