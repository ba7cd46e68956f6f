import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import { type FileStatus, statFile } from '../../host/system/stat.ts';
import { getXattr } from '../../host/system/xattr.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import {
  FileKind,
  findInStack,
  isDirectory,
  isOpaque,
  isWhiteout,
  kindOf,
  listStack,
  namesIn,
  type OverlayStack,
  type StackedFile,
} from './overlay-stack.ts';

/** A directory on the way to a change. */
export interface ChangedDirectory {
  /** In the layer, without a leading slash. */
  readonly path: BytePath;
  /** On the disk. */
  readonly source: BytePath;
  readonly status: FileStatus;
  readonly parent: ChangedDirectory | undefined;
}

/**
 * A difference between a layer and what is below it. `unmodified` is said only of files with several names: one of the
 * others may be new.
 */
export type LayerChange =
  | { readonly kind: 'delete'; readonly path: BytePath; readonly parent: ChangedDirectory | undefined }
  | ({ readonly kind: 'add' | 'modify' | 'unmodified' } & ChangedDirectory);

/**
 * What a layer directory in overlay's format changes in the layers below, in the order of BuildKit's overlay differ (layers
 * facts, section 1): the walk of the directory, names in byte order; where a directory is opaque, a comparison of both
 * trees. Throws `SystemError` and errors of `node:fs`.
 */
export function* layerChanges(upper: BytePath, lower: OverlayStack): Generator<LayerChange> {
  yield* walkLayer(upper, lower, undefined);
}

/**
 * What turns one tree into another, in the order of BuildKit's two-tree differ: one sorted walk, `/` before every other
 * byte. Throws `SystemError` and errors of `node:fs`.
 */
export function* treeChanges(
  lower: OverlayStack,
  upper: OverlayStack,
  parent?: ChangedDirectory,
): Generator<LayerChange> {
  const before = listStack(lower);
  const after = listStack(upper);
  let i = 0;
  for (const [name, file] of after) {
    for (let gone = before[i]; gone !== undefined && gone[0] < name; gone = before[++i]) {
      yield { kind: 'delete', path: below(parent, gone[0]), parent };
    }
    const base = before[i]?.[0] === name ? before[i++]?.[1] : undefined;
    yield* compare(base, file, below(parent, name), parent);
  }
  for (const [name] of before.slice(i)) yield { kind: 'delete', path: below(parent, name), parent };
}

function* compare(
  base: StackedFile | undefined,
  file: StackedFile,
  path: BytePath,
  parent: ChangedDirectory | undefined,
): Generator<LayerChange> {
  const entry: ChangedDirectory = { path, source: file.path, status: file.status, parent };
  if (base === undefined) {
    yield { kind: 'add', ...entry };
  } else if (!isSame(base, file.path, file.status)) {
    yield { kind: 'modify', ...entry };
  } else if (file.status.nlink > 1 && !isDirectory(file.status)) {
    yield { kind: 'unmodified', ...entry };
  }
  if (file.stack.length > 0 && !isSameStack(base?.stack, file.stack)) {
    yield* treeChanges(base?.stack ?? [], file.stack, entry);
  }
}

/** Directories made of the same ones need not be read. */
function isSameStack(a: OverlayStack | undefined, b: OverlayStack): boolean {
  return a !== undefined && a.length === b.length && a.every((path, index) => path === b[index]);
}

function* walkLayer(
  directory: BytePath,
  lower: OverlayStack,
  parent: ChangedDirectory | undefined,
): Generator<LayerChange> {
  for (const name of namesIn(directory)) {
    const source = `${directory}/${name}`;
    const status = statFile(systemPath(source));
    if (status === undefined) continue;
    const path = below(parent, name);
    const base = lower.length === 0 ? undefined : findInStack(lower, name);
    if (isWhiteout(status)) {
      if (base !== undefined) yield { kind: 'delete', path, parent };
      continue;
    }
    const entry: ChangedDirectory = { path, source, status, parent };
    if (base === undefined) yield { kind: 'add', ...entry };
    else if (!isSame(base, source, status)) yield { kind: 'modify', ...entry };
    if (!isDirectory(status)) continue;
    // What a new directory hides is nothing.
    if (base !== undefined && isOpaque(source)) yield* treeChanges(base.stack, [source], entry);
    else yield* walkLayer(source, base?.stack ?? [], entry);
  }
}

function below(parent: ChangedDirectory | undefined, name: BytePath): BytePath {
  return parent === undefined ? name : `${parent.path}/${name}`;
}

/** Whether two files count as the same (layers facts, section 1, "same"). */
function isSame(base: StackedFile, path: BytePath, status: FileStatus): boolean {
  const other = base.status;
  if (other.inoLow === status.inoLow && other.inoHigh === status.inoHigh && other.device === status.device) return true;
  if (
    other.mode !== status.mode ||
    other.uid !== status.uid ||
    other.gid !== status.gid ||
    other.major !== status.major ||
    other.minor !== status.minor ||
    !isSameCapability(base.path, path)
  ) {
    return false;
  }
  if (isDirectory(status)) return true;
  if (
    other.size !== status.size ||
    other.mtimeSeconds !== status.mtimeSeconds ||
    other.mtimeNanoseconds !== status.mtimeNanoseconds
  ) {
    return false;
  }
  // Both times may have been cut to seconds on their way through a tar, so they prove nothing.
  if (status.mtimeNanoseconds !== 0 || status.size === 0) return true;
  if (kindOf(status) === FileKind.symlink) return linkTarget(base.path) === linkTarget(path);
  return kindOf(status) !== FileKind.file || isSameContent(base.path, path);
}

export const CAPABILITY = 'security.capability';

function isSameCapability(a: BytePath, b: BytePath): boolean {
  const [left, right] = [getXattr(systemPath(a), CAPABILITY), getXattr(systemPath(b), CAPABILITY)];
  return left === undefined || right === undefined ? left === right : left.equals(right);
}

/** What a link points to, as bytes. */
export function linkTarget(path: BytePath): BytePath {
  return readlinkSync(systemPath(path), { encoding: 'latin1' });
}

const COMPARE_SIZE = 1 << 16;

function isSameContent(a: BytePath, b: BytePath): boolean {
  const left = openSync(systemPath(a), 'r');
  try {
    const right = openSync(systemPath(b), 'r');
    try {
      const [one, two] = [Buffer.allocUnsafe(COMPARE_SIZE), Buffer.allocUnsafe(COMPARE_SIZE)];
      for (;;) {
        const [got, other] = [readSync(left, one), readSync(right, two)];
        if (got !== other || one.compare(two, 0, got, 0, got) !== 0) return false;
        if (got === 0) return true;
      }
    } finally {
      closeSync(right);
    }
  } finally {
    closeSync(left);
  }
}
