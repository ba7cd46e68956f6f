import { randomUUID } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UnmountFlag, unmount } from '../../host/system/mount.ts';
import { errorCode, explainWriteError } from '../content/store-error.ts';
import type { LayerID } from './layer-records.ts';

/** Where layers lie on the disk: `layers/<id>/fs`, and `layers/.tmp/` for what is being made. */
export interface LayerDirectories {
  readonly root: string;
  /** The directory of a layer's files. */
  path(id: LayerID): string;
  exists(id: LayerID): boolean;
  ids(): LayerID[];
  /** A new directory in `.tmp`. Throws `StoreUnwritableError`. */
  temporary(): TemporaryLayer;
  /** Makes a layer disappear at once; its files are removed in the background. */
  remove(id: LayerID): Promise<void>;
  /** Removes what crashed processes left in `.tmp`. Only when no other process uses the store. */
  sweep(): void;
}

/** A layer that is being made. */
export interface TemporaryLayer extends AsyncDisposable {
  readonly place: string;
  /** Its files. */
  readonly fs: string;
  /** Makes another directory beside the files. */
  directory(name: string): string;
  /**
   * Makes it a layer, in one step, with nothing but its files. Where the layer is there already (another process made
   * the same) this one is dropped.
   */
  publish(id: LayerID): Promise<void>;
}

export function layerDirectories(root: string): LayerDirectories {
  const temporaries = join(root, '.tmp');
  try {
    mkdirSync(temporaries, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw explainWriteError(error, root);
  }
  const path = (id: LayerID): string => join(root, id, 'fs');

  const temporary = (): TemporaryLayer => {
    const place = join(temporaries, randomUUID());
    const fs = join(place, 'fs');
    const others: string[] = [];
    try {
      mkdirSync(place);
      mkdirSync(fs);
      // Whatever the umask is.
      chmodSync(fs, 0o755);
    } catch (error) {
      throw explainWriteError(error, root);
    }
    return {
      place,
      fs,
      directory(name) {
        const made = join(place, name);
        mkdirSync(made);
        others.push(made);
        return made;
      },
      async publish(id) {
        await Promise.all(others.map(other => rm(other, { recursive: true, force: true })));
        try {
          renameSync(place, join(root, id));
        } catch (error) {
          if (!/^(ENOTEMPTY|EEXIST)$/.test(errorCode(error) ?? '')) throw explainWriteError(error, root);
        }
      },
      async [Symbol.asyncDispose]() {
        await rm(place, { recursive: true, force: true });
      },
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
        renameSync(join(root, id), gone);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return;
        throw explainWriteError(error, root);
      }
      await rm(gone, { recursive: true, force: true });
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
  const outside = lstatSync(place).dev;
  for (const name of readdirSync(place)) {
    const path = join(place, name);
    const { dev } = lstatSync(path);
    if (dev === outside) continue;
    unmount(path, UnmountFlag.detach);
  }
}

/** Gives a layer's top directory the owner that it has in the layer below, as overlay shows the uppermost one's. */
export function inheritOwner(target: string, below: string): void {
  const { uid, gid } = lstatSync(below);
  chownSync(target, uid, gid);
}
