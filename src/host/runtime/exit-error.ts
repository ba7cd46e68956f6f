/** A step ended with an exit code that does not count as success. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  /** 0 to 255; 128 and the signal's number when a signal ended it. */
  readonly exitCode: number;

  /** @param text What to say in place of `exit code: N`. */
  constructor(exitCode: number, text?: string, options?: ErrorOptions) {
    super(text ?? `exit code: ${exitCode}`, options);
    this.exitCode = exitCode;
  }
}

/** A step could not be run at all: no runtime, no mount, a wrong working directory. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
}
