import { UnmountFlag, unmount } from '../../host/system/mount.ts';
import { mountOverlay } from '../../host/system/overlay.ts';
import { inheritOwner, type LayerDirectories, type TemporaryLayer } from './layer-directories.ts';
import type { LayerID } from './layer-records.ts';

/** A fresh layer that is being written on top of others. Disposing it before `commit` drops it. */
export interface ActiveLayer extends AsyncDisposable {
  /** The writable directory that becomes the layer. */
  readonly upper: string;
  /** Shows the lower layers and `upper` as one tree and returns where; the same path each time. */
  mount(signal: AbortSignal): Promise<string>;
  /** Unmounts, and makes the layer; returns its id. */
  commit(signal: AbortSignal): Promise<LayerID>;
}

/** A read-only tree at a path, mounted until it is disposed. */
export interface LayerView extends AsyncDisposable {
  readonly path: string;
}

export interface LayerMountOptions {
  readonly directories: LayerDirectories;
  /** In a user namespace: overlay keeps its marks in `user.overlay.*`. */
  readonly unprivileged: boolean;
}

/** A layer whose files are on the disk. */
export interface MountableLayer {
  readonly id: LayerID;
  readonly hides: boolean;
}

/**
 * Starts a layer on others, bottom first. The caller makes sure that they are unpacked and the process in a mount namespace
 * of its own. Throws `StoreUnwritableError` and `SystemError`.
 *
 * @param publish Makes the layer known and returns its id.
 */
export function activateLayer(
  layers: readonly MountableLayer[],
  { directories, unprivileged }: LayerMountOptions,
  publish: (layer: TemporaryLayer) => LayerID,
): ActiveLayer {
  const temporary = directories.temporary();
  const top = layers.at(-1);
  if (top !== undefined) inheritOwner(temporary.fs, directories.path(top.id));
  let mounted: string | undefined;
  let isCommitted = false;

  const close = (): void => {
    // Open files of a killed step must not keep the layer from being made.
    if (mounted !== undefined && mounted !== temporary.fs) unmount(mounted, UnmountFlag.detach);
    mounted = undefined;
  };

  return {
    upper: temporary.fs,
    async mount(signal) {
      signal.throwIfAborted();
      if (mounted !== undefined) return mounted;
      if (layers.length === 0) {
        mounted = temporary.fs;
        return mounted;
      }
      const target = temporary.directory('merged');
      mountOverlay({
        lower: lowerOf(layers, directories),
        upper: temporary.fs,
        work: temporary.directory('work'),
        target,
        userXattr: unprivileged,
        // What is not on the disk after a crash of the machine was not committed before it either.
        volatile: true,
      });
      mounted = target;
      return mounted;
    },
    async commit(signal) {
      signal.throwIfAborted();
      close();
      const id = publish(temporary);
      isCommitted = true;
      return id;
    },
    async [Symbol.asyncDispose]() {
      close();
      if (isCommitted) temporary.drop();
      else await temporary[Symbol.asyncDispose]();
    },
  };
}

/** Shows layers, bottom first, as one read-only tree. They must be unpacked. Throws `StoreUnwritableError` and `SystemError`. */
export function viewLayers(layers: readonly MountableLayer[], options: LayerMountOptions): LayerView {
  const { directories, unprivileged } = options;
  const temporary = directories.temporary();
  const lower = lowerOf(layers, directories);
  // An overlay of one directory would be that directory, whiteouts and all; and no layers are an empty one.
  if (lower.length === 0 || (lower.length === 1 && layers[0]?.hides === true)) lower.push(temporary.fs);
  const target = temporary.directory('merged');
  mountOverlay({ lower, target, userXattr: unprivileged });
  return {
    path: target,
    async [Symbol.asyncDispose]() {
      unmount(target, UnmountFlag.detach);
      temporary.drop();
    },
  };
}

/**
 * Directories, top first. Overlay refuses one that comes twice, as it does in a merge of two trees with the same base; its
 * upper place decides everything, since it shows and hides there all that it does below.
 */
function lowerOf(layers: readonly MountableLayer[], directories: LayerDirectories): string[] {
  return [...new Set(layers.map(layer => directories.path(layer.id)).reverse())];
}
