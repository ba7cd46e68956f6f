import { linkSync, mkdirSync } from 'node:fs';
import { makeWhiteout } from '../../host/system/inode.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { errorCode, explainWriteError } from '../content/store-error.ts';
import type { TaskContext } from '../content/task.ts';
import { copyFile, copyMetadata } from './copy-up.ts';
import { type ChangedDirectory, type LayerChange, layerChanges, treeChanges } from './layer-changes.ts';
import { FileKind, findPathInStack, isDirectory, kindOf, type OverlayStack } from './overlay-stack.ts';

/** Two trees whose difference is to be a layer. */
export interface DiffLayerInput {
  readonly lower: OverlayStack;
  /** A tree, or the directory of a layer that was made on the lower one. */
  readonly upper: OverlayStack | BytePath;
  /** What the layer is to be on, if not on the lower tree: what is not there need not be removed. */
  readonly below?: OverlayStack;
  /** An empty directory. */
  readonly target: BytePath;
}

/**
 * Task: makes a layer directory of what turns one tree into another. Files are linked, not copied, where the file system
 * can: layers never change. Returns whether the layer hides anything. Throws `SystemError` and errors of `node:fs`.
 */
export function diffLayer(input: DiffLayerInput, context: TaskContext): { readonly hides: boolean } {
  const { below, target } = input;
  const directories = new Map<BytePath, ChangedDirectory>();
  let hides = false;

  const makeParents = (parent: ChangedDirectory | undefined): void => {
    if (parent === undefined || directories.has(parent.path)) return;
    makeParents(parent.parent);
    makeDirectory(parent);
  };

  const makeDirectory = (directory: ChangedDirectory): void => {
    if (directories.has(directory.path)) return;
    mkdirSync(systemPath(`${target}/${directory.path}`), 0o700);
    directories.set(directory.path, directory);
  };

  const apply = (change: LayerChange): void => {
    if (change.kind === 'unmodified') return;
    if (change.kind !== 'delete' && kindOf(change.status) === FileKind.socket) return;
    makeParents(change.parent);
    const path = `${target}/${change.path}`;
    if (change.kind === 'delete') {
      // Overlay would list what hides nothing.
      if (below !== undefined && !findPathInStack(below, change.path)) return;
      makeWhiteout(systemPath(path));
      hides = true;
    } else if (isDirectory(change.status)) {
      makeDirectory(change);
    } else {
      linkOrCopy(change, path);
    }
  };

  try {
    const { lower, upper } = input;
    for (const change of typeof upper === 'string' ? layerChanges(upper, lower) : treeChanges(lower, upper)) {
      context.throwIfAborted();
      apply(change);
    }
    // Last, because what is made in a directory changes its time; its mode may even forbid it.
    for (const directory of [...directories.values()].reverse()) {
      copyMetadata(directory.source, directory.status, `${target}/${directory.path}`);
    }
  } catch (error) {
    throw explainWriteError(error, target);
  }
  return { hides };
}

function linkOrCopy(file: ChangedDirectory, path: BytePath): void {
  try {
    linkSync(systemPath(file.source), systemPath(path));
  } catch (error) {
    // Too many links, another file system, or one that has none.
    if (!/^(EMLINK|EXDEV|EPERM|ENOTSUP|EOPNOTSUPP)$/.test(errorCode(error) ?? '')) throw error;
    copyFile(file.source, file.status, path);
  }
}
