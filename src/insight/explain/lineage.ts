/** Which step of one build is which of another one, and how what steps stand on was rearranged. */
import type { StepRecord } from '../history/build-record.ts';
import { type BuildView, isLink, isSource } from './build-view.ts';
import type { Cause } from './cause.ts';
import type { ModelInstruction } from './dockerfile-model.ts';
import { baseOf, type PartsReader } from './step-kind.ts';
import { type Builds, instructionCause, movedCause } from './variables.ts';

/** How two steps that others stand on compare. */
interface Walk {
  /** Instructions in between that came, went or were moved. */
  readonly own: Cause[];
  /** The steps below those, to be compared; undefined when there are none. */
  readonly pair?: readonly [number, number];
  /** Whether steps had to be passed by that stood elsewhere before. */
  readonly isTorn: boolean;
  /** Those steps, of the new build and of the old one. */
  readonly passed: readonly (readonly [number, number])[];
}

export interface Lineage {
  /** The step of the old build that a step of the new one was. */
  counterpart(step: number): number | undefined;
  isMoved(view: BuildView, step: number): boolean;
  /** That a step's instruction is new, gone or elsewhere; empty when it is not. */
  structureCauses(view: BuildView, step: number): Cause[];
  /** Compares what two steps stand on, which may be nothing. */
  walk(now: number | undefined, past: number | undefined): Walk;
}

/** The lineage of the steps of two builds. */
export function lineageOf(builds: Builds, parts: PartsReader): Lineage {
  const { past, now, alignment } = builds;

  function counterpart(step: number): number | undefined {
    const record = now.steps[step];
    for (const place of record?.places ?? []) {
      const instruction = now.instructionAt(place);
      const old = instruction && alignment.oldOf(instruction);
      const at = instruction === undefined ? stepsWithText(past, place.text) : past.stepsAt(old?.line ?? 0);
      const found = counterpartAmong(at, past, record, place.platform);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  function newOf(step: number): number | undefined {
    const record = past.steps[step];
    for (const place of record?.places ?? []) {
      const instruction = past.instructionAt(place);
      const current = instruction && alignment.newOf(instruction);
      const at = instruction === undefined ? stepsWithText(now, place.text) : now.stepsAt(current?.line ?? 0);
      const found = counterpartAmong(at, now, record, place.platform);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The instruction of a step that was moved, if one was. */
  function movedOf(view: BuildView, step: number): ModelInstruction | undefined {
    const instructions = (view.steps[step]?.places ?? []).flatMap(place => view.instructionAt(place) ?? []);
    return instructions.find(one => alignment.isMoved(one));
  }

  /** A step of several stages was moved only if it was in all of them. */
  function isMoved(view: BuildView, step: number): boolean {
    const places = view.steps[step]?.places ?? [];
    return (
      places.length > 0 &&
      places.every(place => {
        const one = view.instructionAt(place);
        return one !== undefined && alignment.isMoved(one);
      })
    );
  }

  /** What happened to a step in some of the stages that it stands in. */
  function partOf(view: BuildView, step: number | undefined): Cause | undefined {
    if (step === undefined) return undefined;
    const moved = movedOf(view, step);
    if (moved !== undefined) return movedCause(moved, builds);
    const other = view === now ? alignment.oldOf : alignment.newOf;
    const instructions = (view.steps[step]?.places ?? []).flatMap(place => view.instructionAt(place) ?? []);
    const one = instructions.find(instruction => other(instruction) === undefined);
    return one && instructionCause(view === now ? 'added' : 'removed', one, builds);
  }

  function structureCauses(view: BuildView, step: number): Cause[] {
    const moved = movedOf(view, step);
    if (moved !== undefined) return [movedCause(moved, builds)];
    const instructions = (view.steps[step]?.places ?? []).flatMap(place => view.instructionAt(place) ?? []);
    const other = view === now ? alignment.oldOf : alignment.newOf;
    const [first] = instructions;
    // What was written but not built before is no change of the file.
    if (first === undefined || instructions.some(one => other(one) !== undefined)) return [];
    return [instructionCause(view === now ? 'added' : 'removed', first, builds)];
  }

  function walk(nowStep: number | undefined, pastStep: number | undefined): Walk {
    const own: Cause[] = [];
    const passed: (readonly [number, number])[] = [];
    let isTorn = false;
    let [current, old] = [nowStep, pastStep];
    while (current !== undefined || old !== undefined) {
      const isEnd = current === undefined || old === undefined;
      if (!isEnd && isSource(now.steps[current ?? -1]) && isSource(past.steps[old ?? -1])) break;
      const was = current === undefined ? undefined : counterpart(current);
      const is = old === undefined ? undefined : newOf(old);
      if (current !== undefined && old !== undefined && !isMoved(now, current)) {
        if (was === old || (is === current && isLinked(past, old) !== isLinked(now, current))) break;
      }
      if (current !== undefined && isChanged(now, current, was)) {
        own.push(...structureCauses(now, current));
        current = baseOf(now, current, parts);
      } else if (old !== undefined && isChanged(past, old, is)) {
        own.push(...structureCauses(past, old));
        old = baseOf(past, old, parts);
      } else {
        // A step of several stages that came, went or was moved in one of them is told so, anything else is torn.
        const partly = old === undefined || isBelow(past, old, was) ? partOf(now, current) : partOf(past, old);
        if (partly !== undefined) own.push(partly);
        else isTorn = true;
        if (current !== undefined && was !== undefined && !isBelow(past, was, old)) {
          passed.push([current, was]);
          current = baseOf(now, current, parts);
        } else if (old !== undefined) old = baseOf(past, old, parts);
        else break;
      }
    }
    return { own, isTorn, passed, ...(current === undefined || old === undefined ? {} : { pair: [current, old] }) };
  }

  /** A step that came, went or was moved. A source on the way is what the other build does not stand on. */
  function isChanged(view: BuildView, step: number, other: number | undefined): boolean {
    return (other === undefined && !isSource(view.steps[step])) || isMoved(view, step);
  }

  /** Whether a step is another one or stands below it. */
  function isBelow(view: BuildView, step: number, other: number | undefined): boolean {
    for (let at = other; at !== undefined; at = baseOf(view, at, parts)) if (at === step) return true;
    return false;
  }

  return { counterpart, isMoved, structureCauses, walk };
}

function stepsWithText({ steps }: BuildView, text: string): number[] {
  return [...steps.keys()].filter(index => steps[index]?.places.some(place => place.text === text));
}

function isLinked({ steps }: BuildView, step: number): boolean {
  const record = steps[step];
  return record !== undefined && isLink(record);
}

/** The step that another one was; what was a linked copy and is none now, or the other way round, is the same step. */
function counterpartAmong(
  candidates: readonly number[],
  { steps }: BuildView,
  step: StepRecord | undefined,
  platform: string | undefined,
): number | undefined {
  if (step === undefined) return undefined;
  const same = candidates.filter(index => isPlatformOf(steps[index], platform));
  return same.find(index => isLink(step) === isLink(steps[index] ?? step)) ?? same[0];
}

function isPlatformOf(step: StepRecord | undefined, platform: string | undefined): boolean {
  const platforms = step?.places.flatMap(place => place.platform ?? []) ?? [];
  return platform === undefined || platforms.length === 0 || platforms.includes(platform);
}
