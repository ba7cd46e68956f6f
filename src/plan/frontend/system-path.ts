import { cleanPath } from '../../wire/fsutil/go-path.ts';

/** A path that the platform of a stage does not allow. */
class SystemPathError extends Error {
  override readonly name = 'SystemPathError';
}

/** The path with forward slashes. */
export function toSlash(path: string, os: string): string {
  return os === 'windows' ? path.replaceAll('\\', '/') : path;
}

/** Whether the path stands alone, without a directory that it is relative to. */
export function isAbsolute(path: string, os: string): boolean {
  try {
    return withoutDrive(path, os, false).startsWith('/');
  } catch (error) {
    if (error instanceof SystemPathError) return false;
    throw error;
  }
}

/**
 * The path below `parent`, absolute and with forward slashes. An absolute path is kept as written (on windows cleaned and
 * without its drive); with `keepSlash` a final `/` or `/.` stays.
 * @throws SystemPathError for a windows path that is not on the drive C:
 */
export function joinPath(parent: string, path: string, os: string, keepSlash: boolean): string {
  const written = toSlash(path, os);
  const above = rooted(within(() => withoutDrive(toSlash(parent === '' ? '/' : parent, os), os, keepSlash)));
  let joined = within(() => withoutDrive(written === '' ? above : written, os, keepSlash));
  if (!joined.startsWith('/')) joined = cleanPath(`${above}/${joined}`);
  if (!keepSlash) return joined;
  if (written.endsWith('/')) return joined.endsWith('/') ? joined : `${joined}/`;
  if (written.endsWith('/.')) return joined === '/' ? '/.' : `${joined}/.`;
  return joined;
}

/** The new working directory, with the separators of the platform. @throws SystemPathError */
export function joinWorkdir(current: string, path: string, os: string): string {
  const joined = within(() => joinPath(current, path, os, false), 'normalizing working directory');
  return os === 'windows' ? joined.replaceAll('/', '\\') : joined;
}

/** A path on windows without its drive, which must be C:; any other as it is. @throws SystemPathError */
export function withoutDrive(path: string, os: string, keepSlash: boolean): string {
  if (os !== 'windows') return path;
  if (path.length === 2 && path[1] === ':') throw new SystemPathError(`No relative path specified in "${path}"`);
  if (toSlash(path.slice(0, 2), os) === '//') throw new SystemPathError('UNC paths are not supported');
  const colon = path.indexOf(':');
  if (colon >= 0 && path.slice(0, colon).toLowerCase() !== 'c') {
    throw new SystemPathError('The specified path is not on the system drive (C:)');
  }
  const rest = toSlash(path.slice(colon + 1), os);
  const clean = cleanPath(rest);
  return keepSlash && clean.length > 1 && rest.endsWith('/') ? `${clean}/` : clean;
}

function rooted(path: string): string {
  return path.startsWith('/') ? path : cleanPath(`/${path}`);
}

/** Runs `resolve`; its error gets the words that BuildKit puts before it. */
export function within<Value>(resolve: () => Value, what = 'removing drive letter'): Value {
  try {
    return resolve();
  } catch (cause) {
    if (!(cause instanceof SystemPathError)) throw cause;
    throw new SystemPathError(`${what}: ${cause.message}`, { cause });
  }
}
