/**
 * The keys of all steps of a Dockerfile in the legacy builder's model, without running any: what was built before decides
 * which of them would be found. Each key holds that of the step before in place of an image id.
 */
import { expandWord } from '../../plan/dockerfile/expand.ts';
import type { Instruction, Stage } from '../../plan/dockerfile/instruction.ts';
import type { LineRange } from '../../plan/dockerfile/source.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import type { KeyPart } from '../status/event.ts';
import { createBuildArgs, type StageArgs } from './build-args.ts';
import { blankConfig, type ContainerConfig, stageConfig } from './container-config.ts';
import { type FoundSource, findSources, type SourceFiles, sourcesHash } from './copy-sources.ts';
import { LegacyBuildError } from './error.ts';
import { keyParts, type StepKey, stepKey } from './key.ts';
import { type FilesStep, type LegacyStep, planLabel, planStep, type StageState } from './plan-step.ts';
import { type LegacyFile, readTrigger, stagesUpTo } from './read-file.ts';

/** What has to be known to tell keys. */
export interface PredictionRequest {
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** What stands in keys for the files of the context that a step takes. */
  readonly filesHash: FilesHash;
  /** The id and config of an image that a stage stands on. */
  readonly base: (name: string) => Promise<{ readonly id: string; readonly config: ContainerConfig }>;
}

/** What stands for the files of a step. */
interface HashedFiles {
  readonly hash: string;
  /** What stands for them if they are as they were; where nobody knows whether they are. */
  readonly likely?: string;
}

/** Tells files apart. @param lines of the instruction; those of the FROM for a trigger of its base */
export type FilesHash = (
  step: FilesStep,
  lines: LineRange | undefined,
  signal: AbortSignal | undefined,
) => Promise<HashedFiles>;

/** A step and its key. */
export interface PredictedStep {
  /** Position of the stage, counted from 0, and its name, empty without one. */
  readonly stage: number;
  readonly stageName: string;
  /** The instruction as `Step n/m : ` shows it. A trigger of a base shows the trigger. */
  readonly text: string;
  /** Of the instruction, or of the FROM that runs it; none for a label of the request. */
  readonly lines: LineRange | undefined;
  /** Undefined for ARG before FROM and for FROM itself, which are never looked up. */
  readonly key: StepKey | undefined;
  /** The digest of the key if what is copied from other stages came out the same whatever became of these. */
  readonly assumed: string | undefined;
  readonly parts: readonly KeyPart[];
  /**
   * Where the key holds a stand-in for files that only a build makes or gets: then it tells equal steps of equal stages, but
   * the builder would go by the files and find more.
   */
  readonly standsFor: 'stage files' | 'image files' | 'download' | undefined;
}

/** A whole build. */
export interface Prediction {
  /** The steps that the builder would go through, in order. */
  readonly steps: readonly PredictedStep[];
  /** Why it would go no further, if it would not: the step that it would fail at is not among them. */
  readonly failure?: { readonly message: string; readonly lines: LineRange | undefined };
}

/** What the legacy builder would do. Throws what reading the context and looking up images throw. */
export async function predictSteps(
  file: LegacyFile,
  request: PredictionRequest,
  signal: AbortSignal | undefined,
): Promise<Prediction> {
  const steps: PredictedStep[] = [];
  const args = createBuildArgs(request.buildArgs);
  const results: StageResult[] = [];
  const { escapeChar } = file;
  const globalWord = (text: string) => expandWord(text, args.globals(), { escape: escapeChar }).text;
  for (const { source, lines, args: definitions } of file.globals) {
    steps.push(unkeyed(-1, '', source, lines));
    for (const { key, value } of definitions) {
      args.declareGlobal(globalWord(key), value === undefined ? undefined : globalWord(value));
    }
  }
  const stages = stagesUpTo(file.stages, request.target);
  for (const [index, stage] of stages.entries()) {
    signal?.throwIfAborted();
    const name = globalWord(stage.base);
    steps.push(unkeyed(index, stage.name, stage.source, stage.lines));
    const isLast = index === stages.length - 1;
    const walk = { stage, index, escapeChar, args: args.openStage(), labels: isLast ? request.labels : NO_LABELS };
    try {
      results.push(await walkStage(await baseOf(name, results, request), walk, results, request, steps, signal));
    } catch (error) {
      if (!(error instanceof RefusedStepError)) throw error;
      return { steps, failure: { message: error.message, lines: error.lines } };
    }
  }
  return { steps };
}

/** What the files of a context are told apart by: the hash that is in the builder's keys. */
export function contextHash(context: SourceFiles): FilesHash {
  return async ({ sources }, _lines, signal) => {
    const found: Pick<FoundSource, 'hash'>[] = [];
    for (const source of sources) {
      if (isUrl(source)) found.push({ hash: `unread:${source}` });
      else found.push(...(await findSources(context, source, signal)));
    }
    return { hash: sourcesHash(found) };
  };
}

/** The builder would refuse a step. */
class RefusedStepError extends Error {
  override readonly name = 'RefusedStepError';
  readonly lines: LineRange | undefined;

  constructor(cause: Error, lines: LineRange | undefined) {
    super(cause.message, { cause });
    this.lines = lines;
  }
}

const isUrl = (source: string): boolean => /^https?:\/\//.test(source);

/** `maybe`: found if what is copied from other stages came out the same. */
export type PredictedOutcome = 'hit' | 'maybe' | 'run';

/**
 * Which steps would be found if those of earlier builds had been made, and each step of this one as it goes. Undefined for
 * those that are never looked up.
 */
export function predictOutcomes(
  steps: readonly PredictedStep[],
  earlier: readonly PredictedStep[],
): (PredictedOutcome | undefined)[] {
  const built = new Set<string>();
  const assumed = new Set<string>();
  const note = (step: PredictedStep) => {
    if (step.key !== undefined) built.add(step.key.digest);
    if (step.assumed !== undefined) assumed.add(step.assumed);
  };
  for (const step of earlier) note(step);
  return steps.map(step => {
    if (step.key === undefined || step.assumed === undefined) return undefined;
    const outcome = built.has(step.key.digest) ? 'hit' : assumed.has(step.assumed) ? 'maybe' : 'run';
    note(step);
    return outcome;
  });
}

interface StageResult {
  readonly name: string;
  /** What stands for the image; undefined for `scratch`. */
  readonly image: string | undefined;
  /** The same for `PredictedStep.assumed`. */
  readonly assumed: string | undefined;
  readonly config: ContainerConfig;
}

interface StageWalk {
  readonly stage: Stage;
  readonly index: number;
  readonly escapeChar: string;
  readonly args: StageArgs;
  readonly labels: ReadonlyMap<string, string>;
}

const NO_LABELS: ReadonlyMap<string, string> = new Map();

async function baseOf(
  name: string,
  earlier: readonly StageResult[],
  request: PredictionRequest,
): Promise<Omit<StageResult, 'name'>> {
  const stage = earlier.find(candidate => candidate.name !== '' && candidate.name === name.toLowerCase());
  if (stage !== undefined) return stage;
  if (name === 'scratch') return { image: undefined, assumed: undefined, config: blankConfig };
  const { id, config } = await request.base(name);
  return { image: id, assumed: id, config };
}

async function walkStage(
  base: Omit<StageResult, 'name'>,
  { stage, index, escapeChar, args, labels }: StageWalk,
  earlier: readonly StageResult[],
  request: PredictionRequest,
  steps: PredictedStep[],
  signal: AbortSignal | undefined,
): Promise<StageResult> {
  const config = stageConfig(base.config);
  let { image, assumed } = base;
  let state: StageState = { config: { ...config, onBuild: [] }, maintainer: '', hasCmd: false };

  async function add(step: LegacyStep, text: string, lines: LineRange | undefined): Promise<void> {
    const { wanted, likely, standsFor } = await wantedOf(step, lines, earlier, request, signal);
    const key = stepKey(image, wanted);
    ({ digest: assumed } = stepKey(assumed, likely));
    steps.push({ stage: index, stageName: stage.name, text, lines, key, assumed, parts: keyParts(wanted), standsFor });
    image = key.digest;
    ({ state } = step);
  }

  const run = async (instruction: Instruction, lines: LineRange) => {
    try {
      await add(planStep(instruction, state, args, escapeChar), instruction.source, lines);
    } catch (error) {
      if (error instanceof LegacyBuildError) throw new RefusedStepError(error, lines);
      throw error;
    }
  };
  for (const trigger of config.onBuild) await run(readTrigger(trigger), stage.lines);
  for (const instruction of stage.instructions) await run(instruction, instruction.lines);
  for (const [key, value] of [...labels].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await add(planLabel(key, value, state), `LABEL ${key}=${value}`, undefined);
  }
  return { name: stage.name, image, assumed, config: state.config };
}

/** @returns `likely`: what is wanted as far as it does not depend on what became of other stages */
async function wantedOf(
  step: LegacyStep,
  lines: LineRange | undefined,
  earlier: readonly StageResult[],
  request: PredictionRequest,
  signal: AbortSignal | undefined,
): Promise<{ readonly wanted: ContainerConfig; readonly likely: ContainerConfig } & Pick<PredictedStep, 'standsFor'>> {
  if (step.kind !== 'files') return { wanted: step.wanted, likely: step.wanted, standsFor: undefined };
  if (step.from !== '') {
    const stage = /^\d+$/.test(step.from)
      ? earlier[Number(step.from)]
      : earlier.find(({ name }) => name === step.from.toLowerCase());
    const standIn = (origin: string) => step.wanted(`unread:${digestOf([origin, ...step.sources].join('\n'))}`);
    return {
      wanted: standIn(stage === undefined ? `image ${step.from}` : `stage ${stage.image ?? 'scratch'}`),
      likely: standIn(`from ${step.from}`),
      standsFor: stage === undefined ? 'image files' : 'stage files',
    };
  }
  const { hash, likely = hash } = await request.filesHash(step, lines, signal);
  return {
    wanted: step.wanted(hash),
    likely: step.wanted(likely),
    standsFor: step.sources.some(isUrl) ? 'download' : undefined,
  };
}

function unkeyed(stage: number, stageName: string, text: string, lines: LineRange): PredictedStep {
  return { stage, stageName, text, lines, key: undefined, assumed: undefined, parts: [], standsFor: undefined };
}
