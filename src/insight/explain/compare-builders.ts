/**
 * BuildKit's way of caching and that of the builder before it, side by side: what each would find of a Dockerfile, instruction
 * by instruction, and why they differ.
 */
import type { PredictedOutcome, PredictedStep, Prediction } from '../../engine/legacy/predict.ts';
import type { KeyPart } from '../../engine/status/event.ts';
import { runArguments } from '../history/run-arguments.ts';
import { shownArguments } from '../history/secret-values.ts';
import { type Alignment, alignModels } from './align.ts';
import { isLink } from './build-view.ts';
import type { DockerfileModel, ModelInstruction, ModelStage } from './dockerfile-model.ts';
import type { BuildExplanation, StepExplanation } from './explain-build.ts';
import type { KnownOutcome } from './known-outcomes.ts';
import { shortDigest } from './words.ts';

/** `no step`: it only changes the image's config. `not needed`: its stage is no part of the result. */
type Outcome = KnownOutcome | 'no step' | 'not needed';

/** `refused`: the builder does not know the instruction, so it does not get to what follows. */
type LegacyOutcome = PredictedOutcome | 'refused' | 'not reached';

/** Why the two differ; `docs/compare.md` tells of each. */
type DifferenceId =
  | 'buildkit-only'
  | 'chain-broken'
  | 'cross-stage'
  | 'legacy-key'
  | 'metadata-in-chain'
  | 'not-in-legacy-key'
  | 'unneeded-stage';

export interface ComparedRow {
  /** The name of the stage; empty for an only one. */
  readonly stage: string;
  /** Counted from 1; undefined for a label of the request. */
  readonly line: number | undefined;
  readonly text: string;
  readonly outcrop: {
    readonly outcome: Outcome;
    readonly reason: string;
    /** Milliseconds, where it was really built. */
    readonly duration?: number;
  };
  readonly legacy: { readonly outcome: LegacyOutcome; readonly reason: string; readonly duration?: number };
  readonly difference?: DifferenceId;
  /** What the step took when it last ran here, in milliseconds: of one that only one of the two runs. */
  readonly cost?: number;
}

interface BuildersInput {
  /** The new state against the old one. */
  readonly explanation: BuildExplanation;
  readonly past: DockerfileModel | undefined;
  readonly now: DockerfileModel;
  readonly target: string | undefined;
  readonly outcomeOf: (step: number) => KnownOutcome;
  readonly reasonOf: (step: StepExplanation) => string;
  readonly legacy: {
    readonly past: Prediction;
    readonly now: Prediction;
    /** One for each step of `now`. */
    readonly outcomes: readonly (PredictedOutcome | undefined)[];
    /** Milliseconds, in the order of `now`, where it was really built. */
    readonly durations?: readonly (number | undefined)[];
  };
  /** What a step took, in milliseconds, where the new state was really built. */
  readonly tookNow?: (step: number) => number | undefined;
  /** What a step took when it last ran here, in milliseconds. */
  readonly tookBefore: (text: string) => number | undefined;
}

/** What each builder would do with each instruction, in the order of the Dockerfile. */
export function compareBuilders(input: BuildersInput): ComparedRow[] {
  const { now, past, legacy, target } = input;
  const alignment = alignModels(past ?? { metaArgs: [], stages: [] }, now);
  const rows: ComparedRow[] = [];
  const chain = legacyChain(input, alignment);
  const needed = neededStages(now, target);
  const isOnly = now.stages.length === 1;
  for (const [position, predicted] of legacy.now.steps.entries()) {
    if (predicted.key === undefined) continue;
    const stage = now.stages[predicted.stage];
    if (stage === undefined) continue;
    const instruction = stage.instructions.find(({ line }) => line === predicted.lines?.start);
    const outcrop = outcropSide(predicted, stage, instruction, needed, input);
    const found = legacy.outcomes[position] ?? 'run';
    const duration = legacy.durations?.[position];
    const side = {
      outcome: found,
      reason: found === 'hit' ? '' : chain.reasonOf(position),
      ...(duration === undefined ? {} : { duration }),
    };
    rows.push(finished(rowOf(predicted, stage, isOnly), { outcrop, legacy: side }, chain.breakOf(position), input));
  }
  return [...rows, ...refusedRows(input, needed, isOnly)];
}

type RowHead = Pick<ComparedRow, 'stage' | 'line' | 'text'>;
type Sides = Pick<ComparedRow, 'outcrop' | 'legacy'>;

function rowOf({ lines, text }: PredictedStep, stage: ModelStage, isOnly: boolean): RowHead {
  return { stage: isOnly ? '' : stage.name, line: lines?.start, text };
}

function finished(head: RowHead, sides: Sides, broken: Break | undefined, input: BuildersInput): ComparedRow {
  const { outcrop, legacy } = sides;
  const difference = differenceOf(sides, broken);
  const isOneSided = (outcrop.outcome === 'run') !== (legacy.outcome === 'run');
  const cost = isOneSided && difference !== undefined ? input.tookBefore(head.text) : undefined;
  return {
    ...head,
    outcrop,
    legacy,
    ...(difference === undefined ? {} : { difference }),
    ...(cost === undefined ? {} : { cost }),
  };
}

/** What the legacy builder refuses and what stands behind it, which it does not get to. */
function refusedRows(input: BuildersInput, needed: ReadonlySet<ModelStage>, isOnly: boolean): ComparedRow[] {
  const { failure, steps } = input.legacy.now;
  if (failure === undefined) return [];
  // A file that cannot be read is refused as a whole.
  const from = steps.length === 0 ? 0 : (failure.lines?.start ?? 0);
  const rest = input.now.stages.flatMap(stage =>
    stage.instructions.filter(({ line }) => line >= from).map(instruction => ({ stage, instruction })),
  );
  return rest.map(({ stage, instruction }, index) => {
    const { line, text } = instruction;
    const predicted = { lines: { start: line, end: line }, text };
    const sides: Sides = {
      outcrop: outcropSide(predicted, stage, instruction, needed, input),
      legacy: index === 0 ? { outcome: 'refused', reason: failure.message } : { outcome: 'not reached', reason: '' },
    };
    return finished({ stage: isOnly ? '' : stage.name, line, text }, sides, undefined, input);
  });
}

function outcropSide(
  { lines, text }: Pick<PredictedStep, 'lines' | 'text'>,
  stage: ModelStage,
  instruction: ModelInstruction | undefined,
  needed: ReadonlySet<ModelStage>,
  { explanation, outcomeOf, reasonOf, tookNow }: BuildersInput,
): ComparedRow['outcrop'] {
  const { view } = explanation;
  const steps = view.stepsAt(lines?.start ?? -1).filter(index => {
    const record = view.steps[index];
    return record !== undefined && !isLink(record) && (instruction !== undefined || isTextOf(record.places, text));
  });
  if (steps.length === 0) {
    if (!needed.has(stage)) return { outcome: 'not needed', reason: '' };
    return { outcome: isStep(text) ? 'not needed' : 'no step', reason: '' };
  }
  const order: readonly KnownOutcome[] = ['run', 'maybe', 'hit'];
  const outcomes = steps.map(outcomeOf);
  const outcome = order.find(one => outcomes.includes(one)) ?? 'run';
  const worst = steps[outcomes.indexOf(outcome)] ?? -1;
  const record = view.steps[worst];
  const explained = explanation.steps.find(({ step }) => step === worst);
  const isMaybe = outcome === 'maybe' && /\sfrom=|--from=|,from=/.test(text);
  const why = isMaybe ? IF_EQUAL : explained === undefined ? '' : reasonOf(explained);
  const [first] = [...(record?.places ?? [])].sort((a, b) => a.line - b.line);
  if (first !== undefined && first.line !== lines?.start && first.stage !== stage.name) {
    return { outcome: 'hit', reason: `one run serves it and ${first.stage}` };
  }
  if (record?.outcome === 'merged') return { outcome: 'hit', reason: why };
  const duration = outcome === 'run' ? tookNow?.(worst) : undefined;
  return {
    outcome,
    reason: outcome === 'hit' ? '' : why,
    ...(duration === undefined ? {} : { duration }),
  };
}

const IF_EQUAL = 'if what it reads is equal';

function isTextOf(places: readonly { readonly text: string }[], text: string): boolean {
  return places.some(place => place.text === text);
}

/** Instructions that become steps; the others only change the config. */
function isStep(text: string): boolean {
  return /^\s*(RUN|COPY|ADD|WORKDIR)\b/i.test(text);
}

/** The stage that a name or a number means. */
function stageNamed(stages: readonly ModelStage[], name: string): ModelStage | undefined {
  if (/^\d+$/.test(name)) return stages[Number(name)];
  return stages.findLast(stage => stage.name.toLowerCase() === name.toLowerCase());
}

/** The stages that the target is made of. */
function neededStages({ stages }: DockerfileModel, target: string | undefined): Set<ModelStage> {
  const first = target === undefined || target === '' ? stages.at(-1) : stageNamed(stages, target);
  const needed = new Set<ModelStage>();
  const pending = first === undefined ? [] : [first];
  for (const stage of pending) {
    if (needed.has(stage)) continue;
    needed.add(stage);
    if (stage.parent !== undefined) pending.push(stage.parent);
    for (const { text } of stage.instructions) {
      for (const [, name = ''] of text.matchAll(/(?:--from=|[,=]from=)([^\s,]+)/g)) {
        const other = stageNamed(stages, name);
        if (other !== undefined && other !== stage) pending.push(other);
      }
    }
  }
  return needed;
}

/** Where the chain of images of a stage broke. */
interface Break {
  readonly text: string;
  /** Whether it was at this very step. */
  readonly isHere: boolean;
  /** It only changes the config of the image. */
  readonly isMetadata: boolean;
}

/** Follows the legacy builder through the stages: what broke the chain, and why. */
function legacyChain(input: BuildersInput, alignment: Alignment) {
  const { legacy, now } = input;
  const breaks: (Break | undefined)[] = [];
  const reasons: string[] = [];
  const byStage = new Map<number, Break>();
  const counterparts = counterpartsOf(input, alignment);
  const isCold = legacy.past.steps.length === 0;
  // What broke the stage that a step copies from.
  const readBreak = (text: string): Break | undefined => {
    const [, name = ''] = /--from=(\S+)/.exec(text) ?? [];
    const stage = stageNamed(now.stages, name);
    return stage && byStage.get(now.stages.indexOf(stage));
  };
  for (const [position, step] of legacy.now.steps.entries()) {
    const stage = now.stages[step.stage];
    const outcome = legacy.outcomes[position];
    if (step.key === undefined) {
      // What a stage stands on may have been made anew.
      const parent = stage?.parent === undefined ? undefined : byStage.get(now.stages.indexOf(stage.parent));
      if (parent !== undefined) byStage.set(step.stage, { ...parent, isHere: false });
      reasons.push('');
      breaks.push(undefined);
      continue;
    }
    const before = byStage.get(step.stage);
    if (before !== undefined || outcome === 'hit') {
      breaks.push(before);
      reasons.push(before === undefined || isCold ? '' : `follows ${before.text}`);
      continue;
    }
    const text = step.text.split('\n')[0] ?? '';
    const read = outcome === 'maybe' ? readBreak(text) : undefined;
    const broken = { text, isHere: read === undefined, isMetadata: read?.isMetadata ?? !isStep(text) };
    breaks.push(broken);
    reasons.push(outcome === 'maybe' ? IF_EQUAL : ownReason(step, counterparts.get(step), input));
    byStage.set(step.stage, { ...broken, isHere: false });
  }
  return {
    breakOf: (position: number) => breaks[position],
    reasonOf: (position: number) => reasons[position] ?? '',
  };
}

/** Which step of the old build each step was. */
function counterpartsOf({ legacy, now }: BuildersInput, alignment: Alignment): Map<PredictedStep, PredictedStep> {
  const old = new Map(legacy.past.steps.map(step => [`${step.lines?.start} ${step.key === undefined}`, step]));
  const found = new Map<PredictedStep, PredictedStep>();
  for (const step of legacy.now.steps) {
    const instruction = now.stages[step.stage]?.instructions.find(({ line }) => line === step.lines?.start);
    const was = instruction && alignment.oldOf(instruction);
    const one = was && old.get(`${was.line} false`);
    if (one !== undefined) found.set(step, one);
  }
  return found;
}

/** Why the first step of a stage that is not found is not. */
function ownReason(step: PredictedStep, was: PredictedStep | undefined, input: BuildersInput): string {
  if (was === undefined) return input.legacy.past.steps.length === 0 ? '' : 'is new';
  if (was.text !== step.text) return 'its text changed';
  if (was.key?.config === step.key?.config) return 'what it stands on is another image';
  const changed = differing(was.parts, step.parts);
  const variables = changed.filter(({ kind }) => kind !== 'command').map(({ kind, name }) => `${kind} ${name}`.trim());
  if (variables.length > 0) return `${variables.join(', ')} changed`;
  if (/^\s*(COPY|ADD)\b/i.test(step.text)) return filesReason(step, input);
  const [before, after] = [argsOf(was), argsOf(step)];
  return before === after ? 'its command changed' : `build arguments: ${before || 'none'} → ${after || 'none'}`;
}

/** What of the files of a copy changed, in the words of the explanation of the same step. */
function filesReason({ lines }: PredictedStep, { explanation, reasonOf }: BuildersInput): string {
  const steps = explanation.view.stepsAt(lines?.start ?? -1);
  const step = explanation.steps.find(one => steps.includes(one.step));
  const isFile = step?.causes.some(({ cause, path }) => cause.kind === 'file' && path.length === 1) ?? false;
  return step !== undefined && isFile ? reasonOf(step) : 'what it copies changed';
}

function differing(before: readonly KeyPart[], after: readonly KeyPart[]): KeyPart[] {
  const texts = (parts: readonly KeyPart[]) => new Set(parts.map(part => JSON.stringify(part)));
  const [old, current] = [texts(before), texts(after)];
  return [
    ...after.filter(part => !old.has(JSON.stringify(part))),
    ...before.filter(part => !current.has(JSON.stringify(part))),
  ].filter((part, index, all) => all.findIndex(({ kind, name }) => kind === part.kind && name === part.name) === index);
}

/** The build arguments in the command of a RUN: `|2 A=1 B=2 /bin/sh -c …`. */
function argsOf({ parts }: PredictedStep): string {
  const command = parts.find(({ kind }) => kind === 'command')?.value ?? '';
  return shownArguments(runArguments(command)?.args ?? []);
}

function differenceOf({ outcrop, legacy }: Sides, broken: Break | undefined): DifferenceId | undefined {
  const runs = outcrop.outcome === 'run' || outcrop.outcome === 'maybe';
  if (legacy.outcome === 'not reached') return undefined;
  if (legacy.outcome === 'refused') return 'buildkit-only';
  if (legacy.outcome === 'hit') return runs ? 'not-in-legacy-key' : undefined;
  if (outcrop.outcome === 'not needed') return 'unneeded-stage';
  if (outcrop.outcome === 'run') return undefined;
  if (outcrop.outcome === 'maybe') {
    return legacy.outcome === 'run' && broken?.isHere === false ? brokenBy(broken) : undefined;
  }
  if (outcrop.outcome === 'no step') return broken?.isHere ? 'metadata-in-chain' : undefined;
  if (broken === undefined || broken.isHere) return outcrop.reason === '' ? 'legacy-key' : 'cross-stage';
  return brokenBy(broken);
}

function brokenBy({ isMetadata }: Break): DifferenceId {
  return isMetadata ? 'metadata-in-chain' : 'chain-broken';
}

/** A reason short enough for a column. */
export function shortReason(text: string, width: number): string {
  const line = shortDigest(text).replaceAll('\n', ' ');
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}
