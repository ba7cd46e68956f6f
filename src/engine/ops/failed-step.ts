import type { Ref } from './ref.ts';

/** A failed step's files, for those who want to look into it. Undefined where there are none. */
export interface FailedStep {
  /** As the step found them: of each mount of an exec op, of each input of a file op. */
  readonly inputs: readonly (Ref | undefined)[];
  /** As the step left them: of each mount of an exec op, of each action of a file op. */
  readonly mounts: readonly (Ref | undefined)[];
}
