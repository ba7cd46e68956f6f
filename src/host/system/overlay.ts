import { closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { LONGEST_VALUE, mountNew } from './filesystem-context.ts';
import { bindMount, MountFlag, mount, UnmountFlag, unmount } from './mount.ts';
import { SystemError } from './system-error.ts';

/** mount(2) takes one page of options, with a final NUL. */
const LONGEST_DATA = 4095;

/** A union of directories. */
export interface OverlayOptions {
  /** Directories to read from, top first. */
  readonly lower: readonly string[];
  /** Where changes go; without it the view is read-only. */
  readonly upper?: string;
  /** An empty directory on the file system of `upper`. */
  readonly work?: string;
  readonly target: string;
  /** Keeps overlay's marks in `user.overlay.*`; by default in a user namespace, which must. */
  readonly userXattr?: boolean;
  /**
   * Never waits for the disk, neither for a step's fsync nor on unmounting (which otherwise flushes the whole file
   * system below). `work` cannot be used again. For a directory that is thrown away after a crash.
   */
  readonly volatile?: boolean;
}

type Option = readonly [name: string, value: string | true];

/**
 * Mounts a view of layers: an overlay, or a bind where one directory is all there is. Renamed directories and changed
 * metadata are stored as full copies, so that a layer can be read by itself. Throws `SystemError`.
 */
export function mountOverlay(options: OverlayOptions): void {
  const { lower, upper, work, target } = options;
  const only = lower.length === 0 ? upper : upper === undefined && lower.length === 1 ? lower[0] : undefined;
  if (only !== undefined) {
    bindMount(only, target, { readOnly: upper === undefined });
    return;
  }
  if (lower.length === 0) throw new TypeError('an overlay needs at least one directory');
  if (upper !== undefined && work === undefined) throw new TypeError('a writable overlay needs a work directory');
  const paths = upper === undefined || work === undefined ? lower : [...lower, upper, work];
  const readOnly = upper === undefined;
  if (appendsLower() && paths.every(path => Buffer.byteLength(path) <= LONGEST_VALUE)) {
    const layers = lower.map((path): Option => ['lowerdir+', path]);
    const all: Option[] = [['source', 'overlay'], ...layers, ...writable(upper, work), ...features(options)];
    try {
      mountNew('overlay', target, all, readOnly);
      return;
    } catch (error) {
      // A sandbox around us may forbid the new calls and still allow mount(2).
      if (!(error instanceof SystemError) || error.syscall !== 'fsopen') throw error;
      canAppend = false;
    }
  }
  mountByString(options, readOnly);
}

function mountByString(options: OverlayOptions, readOnly: boolean): void {
  const flags = readOnly ? MountFlag.readOnly : 0;
  const rest = [...writable(options.upper, options.work), ...features(options)];
  const whole = dataOf(options.lower, rest);
  if (Buffer.byteLength(whole) <= LONGEST_DATA) {
    mount({ source: 'overlay', target: options.target, type: 'overlay', flags, data: whole });
    return;
  }
  // Names of open directories are shorter than their paths.
  const open: number[] = [];
  try {
    for (const path of options.lower) open.push(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
    const data = dataOf(
      open.map(descriptor => `/proc/self/fd/${descriptor}`),
      rest,
    );
    mount({ source: 'overlay', target: options.target, type: 'overlay', flags, data });
  } finally {
    for (const descriptor of open) closeSync(descriptor);
  }
}

function dataOf(lower: readonly string[], rest: readonly Option[]): string {
  const layers = lower.map(path => escapePath(path).replaceAll(':', '\\:')).join(':');
  const others = rest.map(([name, value]) => (value === true ? name : `${name}=${escapePath(value)}`));
  return [`lowerdir=${layers}`, ...others].join(',');
}

function escapePath(path: string): string {
  return path.replaceAll('\\', '\\\\').replaceAll(',', '\\,');
}

function writable(upper: string | undefined, work: string | undefined): Option[] {
  return upper === undefined || work === undefined
    ? []
    : [
        ['upperdir', upper],
        ['workdir', work],
      ];
}

function features(options: OverlayOptions): Option[] {
  const found: Option[] = [];
  // With user xattrs the kernel has the other features off, and calls it a conflict to say so.
  const names = usesUserXattr(options) ? ['index'] : ['redirect_dir', 'index', 'metacopy'];
  for (const name of names) if (hasFeature(name)) found.push([name, 'off']);
  if (usesUserXattr(options)) found.push(['userxattr', true]);
  if (options.volatile === true && options.upper !== undefined) found.push(['volatile', true]);
  return found;
}

function usesUserXattr(options: OverlayOptions): boolean {
  return options.userXattr ?? inUserNamespace();
}

const featureCache = new Map<string, boolean>();

function hasFeature(name: string): boolean {
  const known = featureCache.get(name);
  if (known !== undefined) return known;
  const found = existsSync(`/sys/module/overlay/parameters/${name}`);
  featureCache.set(name, found);
  return found;
}

let canAppend: boolean | undefined;

/** Overlay takes its layers one by one since Linux 6.7. */
function appendsLower(): boolean {
  if (canAppend === undefined) {
    const [major = 0, minor = 0] = release()
      .split('.', 2)
      .map(part => Number.parseInt(part, 10));
    canAppend = major > 6 || (major === 6 && minor >= 7);
  }
  return canAppend;
}

/** Whether this process is in a user namespace other than the machine's first. */
export function inUserNamespace(): boolean {
  inside ??= !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  return inside;
}

let inside: boolean | undefined;

/**
 * Tries whether layers kept in a directory can be mounted as an overlay: not every file system can, nor may every
 * user. Needs a mount namespace that this process may mount in.
 *
 * @returns What the kernel said, or undefined if it works.
 */
export function probeOverlay(directory: string): SystemError | undefined {
  const place = mkdtempSync(join(directory, '.probe-'));
  const [lower, upper, work, target] = ['lower', 'upper', 'work', 'target'].map(name => join(place, name));
  if (lower === undefined || upper === undefined || work === undefined || target === undefined) return undefined;
  try {
    for (const path of [lower, upper, work, target]) mkdirSync(path);
    mountOverlay({ lower: [lower], upper, work, target });
    unmount(target, UnmountFlag.detach);
    return undefined;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
