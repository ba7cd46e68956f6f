import type { Digest } from '../../wire/oci/digest.ts';

/** Bytes that do not have the digest or the size that was promised. Nothing was stored. */
export class DigestMismatchError extends Error {
  override readonly name = 'DigestMismatchError';
  readonly expected: string;
  readonly actual: string;

  /** @param subject What was read, as a person would say it: `layer sha256:…`. */
  constructor(subject: string, expected: string, actual: string) {
    super(`${subject} is damaged or was tampered with: expected ${expected}, got ${actual}`);
    this.expected = expected;
    this.actual = actual;
  }
}

/** A blob that should be at hand is not in the content store. */
export class BlobMissingError extends Error {
  override readonly name = 'BlobMissingError';
  readonly digest: Digest;

  constructor(digest: Digest, cause?: unknown) {
    super(`blob ${digest} is not in the content store`, { cause });
    this.digest = digest;
  }
}

/** The file system of the store cannot take more, or cannot be written at all. */
export class StoreUnwritableError extends Error {
  override readonly name = 'StoreUnwritableError';
  readonly code: string;

  constructor(code: string, path: string, cause?: unknown) {
    super(`${path}: ${REASONS[code] ?? code}`, { cause });
    this.code = code;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the device: free some, or make room with `outcrop prune`',
  EDQUOT: 'the disk quota is used up: free some space, or make room with `outcrop prune`',
  EROFS: 'the file system is read-only: point OUTCROP_ROOT to a directory that can be written',
  EACCES: 'permission denied: run as root, or point OUTCROP_ROOT to a directory of your own',
};

/** An archive that cannot be read: not a tar, cut off, or with an entry that makes no sense. */
export class InvalidArchiveError extends Error {
  override readonly name = 'InvalidArchiveError';
}

/** The system error name (`ENOENT`) of an error that has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Says what to do when an error means that the store cannot be written; any other error is returned as it is. */
export function explainWriteError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (error instanceof StoreUnwritableError || code === undefined || REASONS[code] === undefined) return error;
  return new StoreUnwritableError(code, path, error);
}
