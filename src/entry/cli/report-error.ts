/**
 * Writes an error to standard error as one readable message, with causes and stack when `debug` is set.
 * @returns the exit code of the process: 130 for a build that was interrupted, else 1.
 */
export function reportError(error: unknown, debug: boolean): number {
  if (isAbort(error)) {
    process.stderr.write('ERROR: failed to build: failed to solve: Canceled: context canceled\n');
    return 130;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`ERROR: ${message}\n`);
  if (debug) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      process.stderr.write(`${cause.stack ?? cause.message}\n`);
  }
  return 1;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
