import type { FailedStep } from '../failed-step.ts';

/** An action of a file op failed; says what its `cause` says. */
export class FileActionError extends Error {
  override readonly name = 'FileActionError';
  /** Of the action in its op. */
  readonly index: number;
  readonly step: FailedStep;

  constructor(cause: unknown, index: number, step: FailedStep) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.index = index;
    this.step = step;
  }
}
