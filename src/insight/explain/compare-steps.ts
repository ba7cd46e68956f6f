/** What makes a step of one build differ from the same step of an earlier one. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { StepRecord } from '../history/build-record.ts';
import { alignModels } from './align.ts';
import { type BuildView, isLink, isSource, keysOf } from './build-view.ts';
import type { BaseCause, Cause, FileCause } from './cause.ts';
import { causeKey } from './cause.ts';
import { definitionCauses, textCauses } from './definition-causes.ts';
import { stageOf, variablesIn } from './dockerfile-model.ts';
import { type ContentCheck, fileChanges } from './file-changes.ts';
import {
  type Builds,
  given,
  globalVariableCauses,
  type InstructionPair,
  instructionCause,
  movedCause,
} from './variables.ts';

/** What comparing asks of the history. */
export interface ComparisonReader {
  parts(digest: string): readonly KeyPart[] | undefined;
  /** The content digest that input `input` of a step has or had: its own, or that of the run that made its record. */
  content(view: BuildView, step: number, input: number): string | undefined;
  /** What the layers of an image source are known by: its second key, even if this build needed only the first. */
  layers(view: BuildView, step: number): string | undefined;
  /** Tells whether a file of the new build has the content that the old one had, whatever became of its attributes. */
  readonly sameContent?: ContentCheck;
}

/** A step that differs because of one of its inputs. */
interface Through {
  readonly input: number;
  /** The input's step in the new build, and what it was. */
  readonly now: number;
  readonly past: number;
  /** The files of the input that the step uses and that differ; undefined when the input counts by its own key. */
  readonly files?: readonly FileCause[];
}

interface StepDifference {
  /** What differs at the step itself. */
  readonly own: readonly Cause[];
  readonly through: readonly Through[];
  /** What differs and should not matter: a base image with the same layers. It is told when nothing else is found. */
  readonly weak: readonly Cause[];
}

interface Walk {
  readonly own: Cause[];
  readonly pair?: readonly [number, number];
  readonly isTorn: boolean;
  readonly passed: readonly (readonly [number, number])[];
}

/** A cause, and the steps on the way down to where it is: from the explained one to the one that it is at. */
export interface FoundCause {
  readonly cause: Cause;
  readonly path: readonly number[];
}

export interface Comparison extends Builds {
  /** The step of the earlier build that a step was. */
  counterpart(step: number): number | undefined;
  /** What differs between a step and what it was. */
  difference(now: number, past: number): StepDifference;
  /** All causes of a difference, down to the first ones, each once with the shortest way to it. */
  causes(now: number, past: number): FoundCause[];
  /** The instruction of a step in both files. */
  instruction(now: number, past: number): InstructionPair | undefined;
}

/** Compares two builds. Nothing is compared before it is asked for. */
export function compareBuilds(past: BuildView, now: BuildView, reader: ComparisonReader): Comparison {
  const alignment = alignModels(past.model ?? EMPTY, now.model ?? EMPTY);
  const builds: Builds = { past, now, alignment };
  const differences = new Map<string, StepDifference>();

  function counterpart(step: number): number | undefined {
    const record = now.steps[step];
    for (const place of record?.places ?? []) {
      const instruction = now.instructionAt(place);
      const old = instruction && alignment.oldOf(instruction);
      const at = instruction === undefined ? stepsWithText(past, place.text) : past.stepsAt(old?.line ?? 0);
      const found = at.find(index => isCounterpart(record, past.steps[index], place.platform));
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
      const found = at.find(index => isCounterpart(record, now.steps[index], place.platform));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  function instruction(current: number, old: number): InstructionPair | undefined {
    for (const place of now.steps[current]?.places ?? []) {
      const one = now.instructionAt(place);
      const was = one && alignment.oldOf(one);
      if (one && was && past.steps[old]?.places.some(({ line }) => line === was.line)) return { now: one, past: was };
    }
    return undefined;
  }

  function isMoved(view: BuildView, step: number): boolean {
    return (view.steps[step]?.places ?? []).some(place => {
      const one = view.instructionAt(place);
      return one !== undefined && alignment.isMoved(one);
    });
  }

  function structureCause(view: BuildView, step: number): Cause[] {
    for (const place of view.steps[step]?.places ?? []) {
      const one = view.instructionAt(place);
      if (one === undefined) continue;
      if (alignment.isMoved(one)) return [movedCause(one, builds)];
      // What was written but not built before is no change of the file.
      if ((view === now ? alignment.oldOf(one) : alignment.newOf(one)) !== undefined) return [];
      return [instructionCause(view === now ? 'added' : 'removed', one, builds)];
    }
    return [];
  }

  /**
   * Finds the steps to compare below two that others stand on, past instructions that came, went or were moved, which are
   * causes of their own. `isTorn`: past others too, which stood elsewhere; those are `passed`.
   */
  function walk(nowStep: number, pastStep: number): Walk {
    const own: Cause[] = [];
    const passed: (readonly [number, number])[] = [];
    let isTorn = false;
    let [current, old] = [nowStep, pastStep];
    for (let hops = now.steps.length + past.steps.length; hops > 0; hops--) {
      if (isSource(now.steps[current]) && isSource(past.steps[old]))
        return { own, pair: [current, old], isTorn, passed };
      const was = counterpart(current);
      const is = newOf(old);
      if (was === old && !isMoved(now, current)) return { own, pair: [current, old], isTorn, passed };
      const [nextNow] = now.steps[current]?.inputs ?? [];
      const [nextPast] = past.steps[old]?.inputs ?? [];
      if (nextNow !== undefined && (was === undefined || isMoved(now, current))) {
        own.push(...structureCause(now, current));
        current = nextNow;
      } else if (nextPast !== undefined && (is === undefined || isMoved(past, old))) {
        own.push(...structureCause(past, old));
        old = nextPast;
      } else {
        isTorn = true;
        if (nextNow !== undefined && was !== undefined && !isBelow(past, was, old)) {
          passed.push([current, was]);
          current = nextNow;
        } else if (nextPast !== undefined) old = nextPast;
        else break;
      }
    }
    return { own, isTorn: true, passed };
  }

  /** A directory of the client, a repository or a download: what is compared file by file. */
  function isDirectory(step: StepRecord | undefined): boolean {
    return step !== undefined && isSource(step) && !isInline(step) && imageOf(partsOf(step, reader)) === undefined;
  }

  /** The files of a heredoc. */
  function isInline(step: StepRecord | undefined): boolean {
    const parts = step === undefined || !isSource(step) ? [] : partsOf(step, reader);
    return parts.length > 0 && parts.every(({ kind }) => kind === 'mkfile');
  }

  /** A base image: which one it is, and by what it counts. */
  function sourceCauses(consumer: number, current: number, old: number): Cause[] {
    const [after, before] = [now.steps[current], past.steps[old]];
    if (after === undefined || before === undefined) return [];
    const [nowParts, pastParts] = [partsOf(after, reader), partsOf(before, reader)];
    const [nowImage, pastImage] = [imageOf(nowParts), imageOf(pastParts)];
    if (nowImage && pastImage) {
      const platforms = [pastParts, nowParts].map(parts => parts.find(({ kind }) => kind === 'platform')?.value);
      if (platforms[0] !== platforms[1]) {
        return [{ kind: 'platform', ...given('before', platforms[0]), ...given('after', platforms[1]) }];
      }
      if (pastImage.digest === nowImage.digest) return [];
      if (pastImage.name !== nowImage.name && !sameLayers(current, old)) {
        const causes = fromCauses(consumer);
        if (causes.length > 0) return causes;
      }
      return [baseCause(current, old)];
    }
    if (nowParts.some(({ kind }) => kind === 'local') && pastParts.some(({ kind }) => kind === 'local')) return [];
    const differs = after.definitions.at(-1) !== before.definitions.at(-1);
    if (!differs) return [];
    const causes = nowImage || pastImage ? fromCauses(consumer) : [];
    if (causes.length > 0) return causes;
    const [name, value] = nameOfSource(nowParts, after);
    const [, old2] = nameOfSource(pastParts, before);
    return [{ kind: 'source', name, ...given('before', old2), ...given('after', value) }];
  }

  function sameLayers(current: number, old: number): boolean {
    const layers = reader.layers(now, current);
    return layers !== undefined && layers === reader.layers(past, old);
  }

  function baseCause(current: number, old: number): BaseCause {
    const [after, before] = [now.steps[current], past.steps[old]];
    const nowImage = imageOf(after ? partsOf(after, reader) : []);
    const pastImage = imageOf(before ? partsOf(before, reader) : []);
    return {
      kind: 'base',
      reference: nowImage?.name ?? '',
      before: pastImage?.digest ?? '',
      after: nowImage?.digest ?? '',
      beforeAt: past.summary.startedAt,
      afterAt: now.summary.startedAt,
      ...(sameLayers(current, old) ? { sameLayers: true } : {}),
    };
  }

  /** Why the stage of a step stands on something else: its FROM, or a variable in it. */
  function fromCauses(consumer: number): Cause[] {
    for (const place of now.steps[consumer]?.places ?? []) {
      const one = now.instructionAt(place);
      let stage = one && now.model ? stageOf(now.model, one) : undefined;
      const causes: Cause[] = [];
      for (; stage !== undefined; stage = stage.parent) {
        const was = alignment.oldOf(stage.from);
        if (was === undefined) continue;
        if (was.full !== stage.from.full) causes.push(instructionCause('changed', stage.from, builds));
        else for (const name of variablesIn(was.text)) causes.push(...globalVariableCauses(name, builds));
      }
      if (causes.length > 0) return causes;
      const own = one && ownFrom(one.text, builds);
      if (own !== undefined && own.length > 0) return own;
    }
    return [];
  }

  /** That the base of two steps moved: what the Dockerfile does not set comes from its config. */
  function movedBase(current: number, old: number): Cause | undefined {
    const [a, b] = [rootImage(now, current), rootImage(past, old)];
    if (a === undefined || b === undefined) return undefined;
    const [after, before] = [now.steps[a], past.steps[b]];
    const [x, y] = [after && imageOf(partsOf(after, reader)), before && imageOf(partsOf(before, reader))];
    if (x === undefined || y === undefined || x.digest === y.digest) return undefined;
    if (x.name !== y.name) {
      const [cause] = fromCauses(current);
      if (cause !== undefined) return cause;
    }
    return baseCause(a, b);
  }

  function rootImage(view: BuildView, step: number): number | undefined {
    for (let at: number | undefined = step; at !== undefined; [at] = view.steps[at]?.inputs ?? []) {
      const record = view.steps[at];
      if (record && isSource(record)) return imageOf(partsOf(record, reader)) ? at : undefined;
    }
    return undefined;
  }

  function compute(current: number, old: number): StepDifference {
    const own: Cause[] = [];
    const through: Through[] = [];
    const weak: Cause[] = [];
    const [a, b] = [now.resolve(current), past.resolve(old)];
    const [after, before] = [now.steps[a], past.steps[b]];
    if (after === undefined || before === undefined) return { own, through, weak };
    if (after.forced) own.push({ kind: 'record', reason: 'no-cache' });
    const pair = instruction(current, old);
    const [nowDigest, pastDigest] = [after.definitions[0], before.definitions[0]];
    if (nowDigest !== pastDigest && nowDigest !== undefined && pastDigest !== undefined) {
      own.push(
        ...definitionCauses({
          past: partsOf(before, reader),
          now: partsOf(after, reader),
          instruction: pair,
          builds,
          base: () => movedBase(a, b),
        }),
      );
    }
    // One that ran on the same key may stand on one that was forced to.
    const isSameRecord = after.record !== undefined && after.record === before.record;
    if (isSameRecord && after.outcome !== 'ran') return { own, through, weak };
    for (const [input, target] of after.inputs.entries()) {
      const was = matchingInput(after, before, input, counterpart);
      if (was === undefined) continue;
      compareInput({ consumer: a, old: b, input, oldInput: was, target, pair }, own, through, weak);
    }
    return { own: unique(own), through, weak };
  }

  interface InputPair {
    readonly consumer: number;
    readonly old: number;
    readonly input: number;
    readonly oldInput: number;
    readonly target: number;
    readonly pair: InstructionPair | undefined;
  }

  function compareInput(
    { consumer, old, input, oldInput, target, pair: instructions }: InputPair,
    own: Cause[],
    through: Through[],
    weak: Cause[],
  ): void {
    const isText = instructions !== undefined && instructions.now.full !== instructions.past.full;
    const [after, before] = [now.steps[consumer], past.steps[old]];
    const source = before?.inputs[oldInput];
    if (source === undefined) return;
    const content = reader.content(now, consumer, input);
    const was = reader.content(past, old, oldInput);
    const isLocal = isDirectory(now.steps[target]);
    let files: readonly FileCause[] | undefined;
    if (content !== undefined && was !== undefined) {
      if (content === was) return;
      if (isInline(now.steps[target]) && instructions !== undefined) {
        own.push(...textCauses(instructions, builds));
        return;
      }
      const onlyCommon = keysOf(after, input).selector !== keysOf(before, oldInput).selector || isText;
      files = fileChanges(reader.parts(was) ?? [], reader.parts(content) ?? [], {
        onlyCommon,
        ...(isLocal && reader.sameContent ? { sameContent: reader.sameContent } : {}),
      });
      if (isLocal && isDirectory(past.steps[source])) {
        own.push(...markIgnored(files, target, source));
        return;
      }
    }
    const { own: structure, pair, isTorn, passed } = walk(target, source);
    own.push(...structure);
    if (!isText) through.push(...passed.map(([one, other]) => ({ input, now: one, past: other })));
    // A source that was changed in the instruction's own text is told by that.
    if (isTorn && !isText) own.push(...rewiredCauses(consumer, target, source));
    if (pair === undefined || (isTorn && isText)) return;
    const [current, counter] = pair;
    if (isSource(now.steps[current])) {
      const causes = sourceCauses(consumer, current, counter);
      (causes.every(({ kind }) => kind === 'base') && sameLayers(current, counter) ? weak : own).push(...causes);
    } else through.push({ input, now: current, past: counter, ...(files === undefined ? {} : { files }) });
  }

  /** Why a step stands on another one although no instruction in between came or went. */
  function rewiredCauses(consumer: number, target: number, source: number): Cause[] {
    if (isMoved(now, consumer)) return structureCause(now, consumer);
    const causes = fromCauses(consumer);
    if (causes.length > 0) return causes;
    const [after, before] = [now.steps[target]?.name, past.steps[source]?.name];
    return [{ kind: 'part', part: 'what it stands on', ...given('before', before), ...given('after', after) }];
  }

  /** Files that came or went because `.dockerignore` changed. */
  function markIgnored(files: readonly FileCause[], target: number, source: number): FileCause[] {
    const [after, before] = [now.steps[target], past.steps[source]];
    const excluded = (step: StepRecord | undefined) =>
      (step ? partsOf(step, reader) : []).find(({ kind, name }) => kind === 'local' && name === 'exclude')?.value;
    if (excluded(after) === excluded(before)) return [...files];
    return files.map(file => (file.change === 'added' || file.change === 'removed' ? { ...file, ignore: true } : file));
  }

  function difference(current: number, old: number): StepDifference {
    const key = `${current} ${old}`;
    const known = differences.get(key) ?? compute(current, old);
    differences.set(key, known);
    return known;
  }

  function causes(current: number, old: number): FoundCause[] {
    const found = new Map<string, FoundCause>();
    const weak: FoundCause[] = [];
    const seen = new Set<string>();
    const queue: { readonly now: number; readonly past: number; readonly path: readonly number[] }[] = [
      { now: current, past: old, path: [current] },
    ];
    for (const next of queue) {
      const key = `${next.now} ${next.past}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const { own, through, weak: unlikely } = difference(next.now, next.past);
      for (const cause of own) {
        const name = causeKey(cause);
        if (!found.has(name)) found.set(name, { cause, path: next.path });
      }
      for (const cause of unlikely) weak.push({ cause, path: next.path });
      for (const one of through) queue.push({ now: one.now, past: one.past, path: [...next.path, one.now] });
    }
    return found.size > 0 ? [...found.values()] : weak.slice(0, 1);
  }

  return { ...builds, counterpart, difference, causes, instruction };
}

/** Whether a step is another one or stands below it, by what each is built on first. */
function isBelow({ steps }: BuildView, step: number, other: number): boolean {
  for (let at: number | undefined = other; at !== undefined; [at] = steps[at]?.inputs ?? []) {
    if (at === step) return true;
  }
  return false;
}

const EMPTY = { metaArgs: [], stages: [] };

function stepsWithText({ steps }: BuildView, text: string): number[] {
  return [...steps.keys()].filter(index => steps[index]?.places.some(place => place.text === text));
}

function isCounterpart(a: StepRecord | undefined, b: StepRecord | undefined, platform: string | undefined): boolean {
  if (a === undefined || b === undefined || isLink(a) !== isLink(b)) return false;
  const platforms = b.places.flatMap(place => place.platform ?? []);
  return platform === undefined || platforms.length === 0 || platforms.includes(platform);
}

/** The number of the input that input `input` of a step was. */
function matchingInput(
  now: StepRecord,
  past: StepRecord,
  input: number,
  counterpart: (step: number) => number | undefined,
): number | undefined {
  if (now.inputs.length === past.inputs.length) return input;
  // The first is what the step stands on, whatever else it reads.
  if (input === 0 && past.inputs.length > 0) return 0;
  const was = counterpart(now.inputs[input] ?? -1);
  const index = was === undefined ? -1 : past.inputs.indexOf(was);
  return index < 0 ? undefined : index;
}

function partsOf(step: StepRecord, reader: Pick<ComparisonReader, 'parts'>): readonly KeyPart[] {
  const [digest] = step.definitions;
  return digest === undefined ? [] : (reader.parts(digest) ?? []);
}

/** The image that a source is: its name without the digest that the frontend adds, and the digest. */
function imageOf(parts: readonly KeyPart[]): { readonly name: string; readonly digest: string } | undefined {
  const part = parts.find(({ kind, value }) => kind === 'image' && value.startsWith('sha256:'));
  return part && { name: part.name.replace(/@sha256:[0-9a-f]+$/, ''), digest: part.value };
}

function nameOfSource(parts: readonly KeyPart[], step: StepRecord): [string, string | undefined] {
  const [first] = parts;
  return first === undefined ? [step.name, step.definitions[0]] : [first.name || step.name, first.value];
}

/** The variables of a `--from`. */
function ownFrom(text: string, builds: Builds): Cause[] {
  const from = /--from=(\S+)/.exec(text)?.[1];
  return from === undefined ? [] : variablesIn(from).flatMap(name => globalVariableCauses(name, builds));
}

function unique(causes: readonly Cause[]): Cause[] {
  return [...new Map(causes.map(cause => [causeKey(cause), cause])).values()];
}
