/** What makes a step of one build differ from the same step of an earlier one. */

import type { KeyPart } from '../../engine/status/event.ts';
import { given } from '../../wire/given.ts';
import type { StepRecord } from '../history/build-record.ts';
import { alignModels } from './align.ts';
import { baseCauses } from './base-causes.ts';
import { type BuildView, isLink, isSource, keysOf } from './build-view.ts';
import { type Cause, causeKey, type FileCause } from './cause.ts';
import { definitionCauses, textCauses } from './definition-causes.ts';
import { type ContentCheck, fileChanges } from './file-changes.ts';
import { lineageOf } from './lineage.ts';
import { filesAsSelected } from './selected-files.ts';
import { baseOf, isDirectory, isInline, partsOf } from './step-kind.ts';
import { type Builds, type InstructionPair, instructionCause } from './variables.ts';

/** What comparing asks of the history. */
export interface ComparisonReader {
  parts(digest: string): readonly KeyPart[] | undefined;
  /** The parts behind two digests, at least those that differ. */
  differingParts(one: string, other: string): readonly [readonly KeyPart[], readonly KeyPart[]];
  /** The content digest that input `input` of a step has or had: its own, or that of the run that made its record. */
  content(view: BuildView, step: number, input: number): string | undefined;
  /** What the layers of an image source are known by: its second key, even if this build needed only the first. */
  layers(view: BuildView, step: number): string | undefined;
  /** Tells whether a file of the new build has the content that the old one had, whatever became of its attributes. */
  readonly sameContent?: ContentCheck;
}

/** A step that differs because of one of its inputs. */
interface Through {
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

/** A cause, and the steps on the way down to where it is: from the explained one to the one that it is at. */
export interface FoundCause {
  readonly cause: Cause;
  readonly path: readonly number[];
}

export interface Comparison extends Builds {
  /** The step of the earlier build that a step was. */
  counterpart(step: number): number | undefined;
  /** Whether a step reads other content than it did. Costs little. */
  readsOther(now: number, past: number): boolean;
  /** What differs between a step and what it was. */
  difference(now: number, past: number): StepDifference;
  /** All causes of a difference, down to the first ones, each once with the shortest way to it. */
  causes(now: number, past: number): FoundCause[];
}

/** Two vertices that are compared, with the instruction that they are of, if that is known of both. */
interface StepPair {
  readonly current: number;
  readonly old: number;
  readonly instruction: InstructionPair | undefined;
  /** The instruction's text changed: what it reads is told by that. */
  readonly isText: boolean;
}

/** What is found of a pair. */
interface Finding {
  readonly own: Cause[];
  readonly through: Through[];
  readonly weak: Cause[];
}

const EMPTY = { metaArgs: [], stages: [] };

/** Compares two builds. Nothing is compared before it is asked for. */
export function compareBuilds(past: BuildView, now: BuildView, reader: ComparisonReader): Comparison {
  const alignment = alignModels(past.model ?? EMPTY, now.model ?? EMPTY);
  const builds: Builds = { past, now, alignment };
  const lineage = lineageOf(builds, reader.parts);
  const bases = baseCauses(builds, reader);
  const differences = new Map<string, StepDifference>();

  function instructionOf(current: number, old: number): InstructionPair | undefined {
    for (const place of now.steps[current]?.places ?? []) {
      const one = now.instructionAt(place);
      const was = one && alignment.oldOf(one);
      if (one && was && past.steps[old]?.places.some(({ line }) => line === was.line)) return { now: one, past: was };
    }
    return undefined;
  }

  function compute(nowStep: number, pastStep: number): StepDifference {
    const finding: Finding = { own: [], through: [], weak: [] };
    const [current, old] = [comparable(now, nowStep), comparable(past, pastStep)];
    const [after, before] = [now.steps[now.resolve(current)], past.steps[past.resolve(old)]];
    if (after === undefined || before === undefined) return finding;
    const instruction = instructionOf(nowStep, pastStep);
    const isText = instruction !== undefined && instruction.now.full !== instruction.past.full;
    const pair: StepPair = { current, old, instruction, isText };
    if (after.forced) finding.own.push({ kind: 'record', reason: 'no-cache' });
    if (isLink(after) !== isLink(before)) {
      compareLink(pair, finding);
      return { ...finding, own: unique(finding.own) };
    }
    compareDefinitions(pair, finding);
    // One that ran on the same key may stand on one that was forced to.
    const isSameRecord = after.record !== undefined && after.record === before.record;
    if (isSameRecord && after.outcome !== 'ran') return finding;
    compareBases(pair, finding);
    for (const [input, oldInput] of readInputs(pair)) compareRead(pair, input, oldInput, finding);
    return { ...finding, own: unique(finding.own) };
  }

  /** A step that was merged is compared by what it stands on itself, as far as that is known. */
  function comparable(view: BuildView, step: number): number {
    return view.steps[step]?.definitions.length === 0 ? view.resolve(step) : step;
  }

  /** Compares what a linked copy came to with a copy that is not linked: the copies are compared with each other. */
  function compareLink(pair: StepPair, finding: Finding): void {
    const { current, old, instruction } = pair;
    const [after, before] = [now.steps[current], past.steps[old]];
    if (after === undefined || before === undefined) return;
    const [copy, was] = isLink(after) ? [after.inputs.at(-1), old] : [current, before.inputs.at(-1)];
    if (instruction !== undefined) finding.own.push(instructionCause('changed', instruction.now, builds));
    compareBases(pair, finding);
    if (copy !== undefined && was !== undefined) finding.through.push({ now: copy, past: was });
  }

  function compareDefinitions({ current, old, instruction }: StepPair, { own }: Finding): void {
    const [after, before] = [now.steps[current], past.steps[old]];
    const [is, was] = [after?.definitions[0], before?.definitions[0]];
    if (is === was || is === undefined || was === undefined) return;
    // Indices count the inputs; what stands on nothing has one less.
    const isShorter = after?.inputs.length !== before?.inputs.length;
    const partsHere = (step: StepRecord | undefined) =>
      partsOf(step, reader.parts).filter(({ kind }) => !isShorter || kind !== 'indexes');
    const base = () => bases.moved(current, old);
    own.push(...definitionCauses({ past: partsHere(before), now: partsHere(after), instruction, builds, base }));
  }

  function compareBases({ current, old, instruction, isText }: StepPair, { own, through, weak }: Finding): void {
    const [target, source] = [baseOf(now, current, reader.parts), baseOf(past, old, reader.parts)];
    // What is linked stands on nothing, whatever is below it.
    if (instruction !== undefined && (target === undefined) !== (source === undefined) && isText) {
      own.push(instructionCause('changed', instruction.now, builds));
      return;
    }
    const { own: structure, pair, isTorn, passed } = lineage.walk(target, source);
    own.push(...structure);
    through.push(...passed.map(([one, other]) => ({ now: one, past: other })));
    if (isTorn) own.push(...rewiredCauses(current, target, source));
    if (pair !== undefined) follow(current, pair, { own, through, weak });
  }

  /** Compares two steps that another one stands on or reads. */
  function follow(
    consumer: number,
    [current, old]: readonly [number, number],
    { own, through, weak }: Finding,
    read?: { readonly files: readonly FileCause[] | undefined },
  ): void {
    const files = read?.files;
    if (!isSource(now.steps[current])) {
      through.push({ now: current, past: old, ...(files === undefined ? {} : { files }) });
      return;
    }
    const causes = bases.ofSources(consumer, current, old, read && true);
    (causes.every(({ kind }) => kind === 'base') && bases.sameLayers(current, old) ? weak : own).push(...causes);
  }

  /** Why a step stands on another one although no instruction in between came or went. */
  function rewiredCauses(consumer: number, target: number | undefined, source: number | undefined): Cause[] {
    if (lineage.isMoved(now, consumer)) return lineage.structureCauses(now, consumer);
    const causes = bases.ofStage(consumer);
    if (causes.length > 0) return causes;
    const [after, before] = [now.steps[target ?? -1]?.name, past.steps[source ?? -1]?.name];
    return [{ kind: 'part', part: 'what it stands on', ...given('before', before), ...given('after', after) }];
  }

  /** The inputs that a step reads but is not built on, with what each was. */
  function readInputs({ current, old }: Pick<StepPair, 'current' | 'old'>): (readonly [number, number])[] {
    const [after, before] = [now.steps[current], past.steps[old]];
    if (after === undefined || before === undefined) return [];
    const first = baseOf(now, current, reader.parts) === undefined ? 0 : 1;
    const oldFirst = baseOf(past, old, reader.parts) === undefined ? 0 : 1;
    const [targets, sources] = [after.inputs.slice(first), before.inputs.slice(oldFirst)];
    return targets.flatMap((target, index) => {
      if (targets.length === sources.length) return [[index + first, index + oldFirst] as const];
      const was = sources.findIndex(
        source =>
          lineage.counterpart(target) === source ||
          (isSource(now.steps[target]) && now.steps[target]?.name === past.steps[source]?.name),
      );
      return was < 0 ? [] : [[index + first, was + oldFirst] as const];
    });
  }

  function readsOther(nowStep: number, pastStep: number): boolean {
    const [current, old] = [comparable(now, nowStep), comparable(past, pastStep)];
    return readInputs({ current, old }).some(([input, oldInput]) => {
      const [content, was] = [reader.content(now, current, input), reader.content(past, old, oldInput)];
      return content !== undefined && was !== undefined && content !== was;
    });
  }

  function compareRead(pair: StepPair, input: number, oldInput: number, finding: Finding): void {
    const { current, old, instruction, isText } = pair;
    const [after, before] = [now.steps[current], past.steps[old]];
    const [target = -1, source = -1] = [after?.inputs[input], before?.inputs[oldInput]];
    const [content, was] = [reader.content(now, current, input), reader.content(past, old, oldInput)];
    const download = bases.ofDownload(target, source);
    if (download !== undefined) {
      finding.own.push(download);
      return;
    }
    let files: readonly FileCause[] | undefined;
    if (content !== undefined && was !== undefined) {
      if (content === was) return;
      if (isInline(now.steps[target], reader.parts) && instruction !== undefined) {
        finding.own.push(...textCauses(instruction, builds));
        return;
      }
      const isLocal = isDirectory(now.steps[target], reader.parts);
      const keys = [keysOf(before, oldInput), keysOf(after, input)] as const;
      // Of a mount the path is in no other part of the key.
      if (keys[1].selector !== keys[0].selector && instruction !== undefined)
        finding.own.push(...textCauses(instruction, builds));
      const lists = filesAsSelected(
        reader.differingParts(was, content),
        [
          { ...keys[0], content: was },
          { ...keys[1], content },
        ],
        reader.parts,
      );
      files = fileChanges(...lists, {
        onlyCommon: selectsOthers(instruction) || keys[1].selector !== keys[0].selector,
        ...(isLocal && reader.sameContent ? { sameContent: reader.sameContent } : {}),
      });
      if (isLocal && isDirectory(past.steps[source], reader.parts)) {
        finding.own.push(...markIgnored(files, target, source));
        return;
      }
    }
    const { own: structure, pair: below, isTorn, passed } = lineage.walk(target, source);
    finding.own.push(...structure);
    // A source that the instruction's own text names is told by that.
    if (isTorn && isText) return;
    finding.through.push(...passed.map(([one, other]) => ({ now: one, past: other })));
    if (isTorn) finding.own.push(...rewiredCauses(current, target, source));
    if (below !== undefined) follow(current, below, finding, { files });
  }

  /** Files that came or went because `.dockerignore` changed. */
  function markIgnored(files: readonly FileCause[], target: number, source: number): FileCause[] {
    const excluded = (step: StepRecord | undefined) =>
      partsOf(step, reader.parts).find(({ kind, name }) => kind === 'local' && name === 'exclude')?.value;
    if (excluded(now.steps[target]) === excluded(past.steps[source])) return [...files];
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
    const unlikely: FoundCause[] = [];
    const seen = new Set<string>();
    const queue = [{ now: current, past: old, path: [current] }];
    for (const next of queue) {
      const key = `${next.now} ${next.past}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const { own, through, weak } = difference(next.now, next.past);
      for (const cause of own) {
        const name = causeKey(cause);
        if (!found.has(name)) found.set(name, { cause, path: next.path });
      }
      for (const cause of weak) unlikely.push({ cause, path: next.path });
      for (const one of through) queue.push({ now: one.now, past: one.past, path: [...next.path, one.now] });
    }
    return found.size > 0 ? [...found.values()] : unlikely.slice(0, 1);
  }

  return { ...builds, counterpart: lineage.counterpart, readsOther, difference, causes };
}

/** Whether an instruction names other sources than before, or leaves out other files of them. */
function selectsOthers(instruction: InstructionPair | undefined): boolean {
  const { now, past } = instruction ?? {};
  const flags = (text = '') => [...text.matchAll(/--(?:exclude|parents)\S*/g)].join(' ');
  const sources = (text = '') =>
    text
      .match(/[^\s,"[\]]+/g)
      ?.filter(word => !word.startsWith('--'))
      .slice(1, -1)
      .join(' ');
  const isCopy = now?.keyword === 'COPY' || now?.keyword === 'ADD';
  return flags(now?.full) !== flags(past?.full) || (isCopy && sources(now.text) !== sources(past?.text));
}

function unique(causes: readonly Cause[]): Cause[] {
  return [...new Map(causes.map(cause => [causeKey(cause), cause])).values()];
}
