import type { StepRecord } from '../history/build-record.ts';
import { isCanceled } from '../progress/error-block.ts';

/** `shared`: another step's run serves it. `cancelled`: it was ended before it was done, as another step failed or by a person. */
export type StepOutcome = 'cached' | 'ran' | 'failed' | 'cancelled' | 'shared' | 'not reached';

/** How a step ended, in the words of `why`. */
export function stepOutcome(record: StepRecord | undefined): StepOutcome {
  if (record === undefined) return 'not reached';
  if (record.error !== undefined) {
    if (record.outcome === 'ran') return 'ran';
    return isCanceled(record.error) ? 'cancelled' : 'failed';
  }
  if (record.outcome === 'merged') return 'shared';
  if (record.outcome === 'ran') return 'ran';
  return record.cached || record.outcome === 'hit' ? 'cached' : 'not reached';
}
