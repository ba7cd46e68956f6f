/** Which instruction of one Dockerfile is which of another one. */
import type { DockerfileModel, ModelInstruction, ModelStage } from './dockerfile-model.ts';

export interface Alignment {
  /** The instruction that this one of the new file was in the old one. */
  oldOf(instruction: ModelInstruction): ModelInstruction | undefined;
  newOf(instruction: ModelInstruction): ModelInstruction | undefined;
  /** Whether an instruction of either file stands elsewhere in the other one. */
  isMoved(instruction: ModelInstruction): boolean;
}

/** Whether two instructions say the same. */
export function isSame(a: ModelInstruction, b: ModelInstruction): boolean {
  return a.full === b.full;
}

/**
 * Aligns two files: stages by name, then by place; instructions of a stage so that as little as possible changed; what is
 * left and the same elsewhere was moved.
 */
export function alignModels(past: DockerfileModel, now: DockerfileModel): Alignment {
  const oldOf = new Map<ModelInstruction, ModelInstruction>();
  const newOf = new Map<ModelInstruction, ModelInstruction>();
  const moved = new Set<ModelInstruction>();
  const pair = (a: ModelInstruction, b: ModelInstruction) => {
    oldOf.set(b, a);
    newOf.set(a, b);
  };
  alignSequence(past.metaArgs, now.metaArgs, pair);
  for (const [old, current] of alignStages(past.stages, now.stages)) {
    pair(old.from, current.from);
    alignSequence(old.instructions, current.instructions, pair);
  }
  const rest = past.stages.flatMap(({ instructions }) => instructions).filter(one => !newOf.has(one));
  for (const added of now.stages.flatMap(({ instructions }) => instructions)) {
    if (oldOf.has(added)) continue;
    const index = rest.findIndex(one => isSame(one, added));
    const [from] = index < 0 ? [] : rest.splice(index, 1);
    if (from === undefined) continue;
    pair(from, added);
    moved.add(from).add(added);
  }
  return { oldOf: one => oldOf.get(one), newOf: one => newOf.get(one), isMoved: one => moved.has(one) };
}

function alignStages(past: readonly ModelStage[], now: readonly ModelStage[]): [ModelStage, ModelStage][] {
  const pairs: [ModelStage, ModelStage][] = [];
  const isNamed = ({ name }: ModelStage) => name !== '' && !/^stage-\d+$/.test(name);
  const restThen = new Set(past);
  const restNow = new Set(now);
  const take = (old: ModelStage | undefined, current: ModelStage) => {
    if (old === undefined) return;
    pairs.push([old, current]);
    restThen.delete(old);
    restNow.delete(current);
  };
  for (const current of now) {
    if (isNamed(current))
      take(
        [...restThen].find(old => isNamed(old) && old.name === current.name),
        current,
      );
  }
  // The last stage is the result more often than not, whatever was added before it.
  const last = now.at(-1);
  const oldLast = past.at(-1);
  if (last && oldLast && restNow.has(last) && restThen.has(oldLast)) take(oldLast, last);
  for (const current of restNow) {
    const same = [...restThen].find(old => old.instructions.some(a => current.instructions.some(b => isSame(a, b))));
    take(same ?? [...restThen][0], current);
  }
  return pairs;
}

const GAP = 0.55;
/** Worth more than any number of look-alikes: a line that stayed is the surest thing there is. */
const STAYED = -1;

/** Pairs the instructions of two lists, each at most once and in order, at the least cost. */
function alignSequence(
  past: readonly ModelInstruction[],
  now: readonly ModelInstruction[],
  pair: (a: ModelInstruction, b: ModelInstruction) => void,
): void {
  let start = 0;
  let end = 0;
  const same = (a: ModelInstruction | undefined, b: ModelInstruction | undefined) => {
    if (a === undefined || b === undefined || !isSame(a, b)) return false;
    pair(a, b);
    return true;
  };
  while (start < Math.min(past.length, now.length) && same(past[start], now[start])) start++;
  const rest = Math.min(past.length, now.length) - start;
  while (end < rest && same(past[past.length - 1 - end], now[now.length - 1 - end])) end++;
  const a = past.slice(start, past.length - end);
  const b = now.slice(start, now.length - end);
  if (a.length === 0 || b.length === 0) return;
  const width = b.length + 1;
  const costs = new Float64Array((a.length + 1) * width);
  const at = (i: number, j: number) => costs[i * width + j] ?? 0;
  const words = new Map([...a, ...b].map(one => [one, new Set(one.full.split(/\s+/))]));
  const costOf = (one: ModelInstruction | undefined, other: ModelInstruction | undefined) =>
    one === undefined || other === undefined ? Number.POSITIVE_INFINITY : changeCost(one, other, words);
  for (let i = a.length; i >= 0; i--) {
    for (let j = b.length; j >= 0; j--) {
      if (i === a.length || j === b.length) {
        costs[i * width + j] = (a.length - i + b.length - j) * GAP;
        continue;
      }
      const paired = costOf(a[i], b[j]) + at(i + 1, j + 1);
      costs[i * width + j] = Math.min(paired, at(i + 1, j) + GAP, at(i, j + 1) + GAP);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [one, other] = [a[i], b[j]];
    if (one && other && at(i, j) === costOf(one, other) + at(i + 1, j + 1)) {
      pair(one, other);
      i++;
      j++;
    } else if (at(i, j) === at(i + 1, j) + GAP) i++;
    else j++;
  }
}

function changeCost(
  a: ModelInstruction,
  b: ModelInstruction,
  words: ReadonlyMap<ModelInstruction, ReadonlySet<string>>,
): number {
  if (isSame(a, b)) return STAYED;
  const isCopy = ({ keyword }: ModelInstruction) => keyword === 'COPY' || keyword === 'ADD';
  if (a.keyword !== b.keyword && !(isCopy(a) && isCopy(b))) return Number.POSITIVE_INFINITY;
  const [first, second] = [words.get(a) ?? new Set(), words.get(b) ?? new Set()];
  const common = first.intersection(second).size;
  return 0.2 + 0.85 * (1 - (2 * common) / (first.size + second.size));
}
