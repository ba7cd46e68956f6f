/** What a build waited for, told by when its steps really began and ended and by what each of them stands on. */
import type { StepRecord } from '../history/build-record.ts';

/** When a step ran, in milliseconds since the build began. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** A step on the path. */
interface Waypoint {
  readonly step: number;
  /** Milliseconds between the end of what it waited for and its own beginning: it waited for its turn. */
  readonly waited: number;
}

/** When a step ran; undefined for one that nothing was seen of. */
export function spanOf({ start, duration = 0, end }: StepRecord): Span | undefined {
  return start === undefined ? undefined : { start, end: end ?? start + duration };
}

/**
 * When a build waited for a step. One that was found is shown once it is needed, which nobody waits for; what was done for it
 * afterwards, such as a pull, is.
 */
function waitedSpan(step: StepRecord): Span | undefined {
  const isHit = step.cached === true || step.outcome === 'hit';
  if (!isHit) return spanOf(step);
  const { end, duration = 0 } = step;
  return end === undefined ? undefined : { start: end - duration, end };
}

/**
 * The steps that a build waited for, first to last: back from the one that ended last, each time to the input that ended
 * last. What has no inputs, a source or an export, waited for whatever ended last before it began.
 */
export function criticalPath(steps: readonly StepRecord[]): Waypoint[] {
  const spans = steps.map(waitedSpan);
  const timed = [...spans.keys()].filter(step => spans[step] !== undefined);
  const endOf = (step: number) => spans[step]?.end ?? 0;
  const latest = (candidates: readonly number[]) =>
    candidates.reduce<number | undefined>(
      (best, step) => (best === undefined || endOf(step) > endOf(best) ? step : best),
      undefined,
    );
  const inputs = seenInputs(steps, spans);
  const before = (step: number): number | undefined => {
    const below = latest(inputs(step));
    if (below !== undefined) return below;
    const start = spans[step]?.start ?? 0;
    return latest(timed.filter(other => other !== step && endOf(other) <= start));
  };
  const path: Waypoint[] = [];
  const seen = new Set<number>();
  for (let step = latest(timed); step !== undefined && !seen.has(step); ) {
    seen.add(step);
    const previous = before(step);
    const ready = previous === undefined ? 0 : endOf(previous);
    path.unshift({ step, waited: Math.max(0, (spans[step]?.start ?? 0) - ready) });
    step = previous;
  }
  return path;
}

/** The nearest steps below one that something was seen of. */
function seenInputs(
  steps: readonly StepRecord[],
  spans: readonly (Span | undefined)[],
): (step: number) => readonly number[] {
  return start => {
    const found = new Set<number>();
    const passed = new Set<number>();
    const pending = [...(steps[start]?.inputs ?? [])];
    for (const asked of pending) {
      const step = steps[asked]?.mergedInto ?? asked;
      if (passed.has(step) || step === start) continue;
      passed.add(step);
      if (spans[step] === undefined) pending.push(...(steps[step]?.inputs ?? []));
      else found.add(step);
    }
    return [...found];
  };
}
