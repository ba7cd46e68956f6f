import { ExitError } from '../../../host/runtime/exit-error.ts';
import { goQuote } from '../../../plan/dockerfile/go-text.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import type { FailedStep } from '../failed-step.ts';

/** A step's process did not succeed, or could not be started. `cause` is the runtime's error. */
export class ExecError extends Error {
  override readonly name = 'ExecError';
  /** Absent when the process never ran. */
  readonly exitCode?: number;

  /** The platform of a step that this machine had no means to run, which may be why it failed. */
  readonly foreign?: Platform;

  /** Absent where nobody would look. */
  readonly step?: FailedStep;

  /** @param args The command of the step. */
  constructor(args: readonly string[], cause: unknown, foreign?: Platform, step?: FailedStep) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`process ${goQuote(args.join(' '))} did not complete successfully: ${reason}`, { cause });
    if (foreign) this.foreign = foreign;
    if (step) this.step = step;
    if (cause instanceof ExitError) this.exitCode = cause.exitCode;
  }
}
