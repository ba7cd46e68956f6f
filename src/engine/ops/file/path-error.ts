/** Errors of the file system as file actions report them: with paths as they are in the image. */
import { SystemError } from '../../../host/system/system-error.ts';
import { type BytePath, fromBytePath } from '../../../wire/fsutil/byte-path.ts';

/** `operation path: text`, the path being one of the image. */
export function pathError(operation: string, path: string, errno: number): SystemError {
  return new SystemError(errno, operation, path);
}

export const [ENOENT, ENOTDIR] = [2, 20];

/**
 * Runs file system calls; an error with a path below `root` comes out with the path in the image and the message
 * `call path: text`.
 */
export async function withImagePaths<T>(root: BytePath, run: () => Promise<T> | T): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw inImage(root, error);
  }
}

function inImage(root: BytePath, error: unknown): unknown {
  if (!(error instanceof Error) || !('errno' in error) || !('syscall' in error) || !('path' in error)) return error;
  const { errno, syscall, path } = error;
  if (typeof errno !== 'number' || typeof syscall !== 'string' || path === undefined) return error;
  const text = typeof path === 'string' ? path : Buffer.from(path as Uint8Array).toString('utf8');
  const prefix = fromBytePath(root);
  const inside = text === prefix || text.startsWith(`${prefix}/`) ? text.slice(prefix.length) || '/' : text;
  const made = new SystemError(Math.abs(errno), syscall, inside);
  made.cause = error;
  return made;
}
