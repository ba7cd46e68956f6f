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
import { keyParts, type StepKey, stepKey } from './key.ts';
import { type FilesStep, type LegacyStep, planLabel, planStep, type StageState } from './plan-step.ts';
import { type LegacyFile, readTrigger, stagesUpTo } from './read-file.ts';

/** What has to be known to tell keys. */
export interface PredictionRequest {
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** The files of the context. */
  readonly context: SourceFiles;
  /** The id and config of an image that a stage stands on. */
  readonly base: (name: string) => Promise<{ readonly id: string; readonly config: ContainerConfig }>;
}

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
  readonly parts: readonly KeyPart[];
  /**
   * Where the key holds a stand-in for files that only a build makes or gets: then it tells equal steps of equal stages, but
   * the builder would go by the files and find more.
   */
  readonly standsFor: 'stage files' | 'image files' | 'download' | undefined;
}

/** The steps that the legacy builder would go through, in order. Throws what reading the context and planning throw. */
export async function predictSteps(
  file: LegacyFile,
  request: PredictionRequest,
  signal: AbortSignal | undefined,
): Promise<PredictedStep[]> {
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
    results.push(await walkStage(await baseOf(name, results, request), walk, results, request, steps, signal));
  }
  return steps;
}

/** Which steps would be found if those with the keys `known` had been built, and each step of these as it goes. */
export function predictHits(steps: readonly PredictedStep[], known: ReadonlySet<string>): boolean[] {
  const built = new Set(known);
  return steps.map(({ key }) => {
    if (key === undefined) return false;
    const isHit = built.has(key.digest);
    built.add(key.digest);
    return isHit;
  });
}

interface StageResult {
  readonly name: string;
  /** What stands for the image; undefined for `scratch`. */
  readonly image: string | undefined;
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
  if (name === 'scratch') return { image: undefined, config: blankConfig };
  const { id, config } = await request.base(name);
  return { image: id, config };
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
  let image = base.image;
  let state: StageState = { config: { ...config, onBuild: [] }, maintainer: '', hasCmd: false };

  async function add(step: LegacyStep, text: string, lines: LineRange | undefined): Promise<void> {
    const { wanted, standsFor } = await wantedOf(step, earlier, request, signal);
    const key = stepKey(image, wanted);
    steps.push({ stage: index, stageName: stage.name, text, lines, key, parts: keyParts(wanted), standsFor });
    image = key.digest;
    ({ state } = step);
  }

  const run = (instruction: Instruction, lines: LineRange) =>
    add(planStep(instruction, state, args, escapeChar), instruction.source, lines);
  for (const trigger of config.onBuild) await run(readTrigger(trigger), stage.lines);
  for (const instruction of stage.instructions) await run(instruction, instruction.lines);
  for (const [key, value] of [...labels].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await add(planLabel(key, value, state), `LABEL ${key}=${value}`, undefined);
  }
  return { name: stage.name, image, config: state.config };
}

async function wantedOf(
  step: LegacyStep,
  earlier: readonly StageResult[],
  request: PredictionRequest,
  signal: AbortSignal | undefined,
): Promise<{ readonly wanted: ContainerConfig } & Pick<PredictedStep, 'standsFor'>> {
  if (step.kind !== 'files') return { wanted: step.wanted, standsFor: undefined };
  if (step.from !== '') {
    const stage = /^\d+$/.test(step.from)
      ? earlier[Number(step.from)]
      : earlier.find(({ name }) => name === step.from.toLowerCase());
    const origin = stage === undefined ? `image ${step.from}` : `stage ${stage.image ?? 'scratch'}`;
    return {
      wanted: step.wanted(`unread:${digestOf([origin, ...step.sources].join('\n'))}`),
      standsFor: stage === undefined ? 'image files' : 'stage files',
    };
  }
  const isDownload = step.sources.some(source => /^https?:\/\//.test(source));
  return {
    wanted: step.wanted(await contextHash(step, request, signal)),
    standsFor: isDownload ? 'download' : undefined,
  };
}

async function contextHash(
  { sources }: FilesStep,
  { context }: PredictionRequest,
  signal: AbortSignal | undefined,
): Promise<string> {
  const found: Pick<FoundSource, 'hash'>[] = [];
  for (const source of sources) {
    if (/^https?:\/\//.test(source)) found.push({ hash: `unread:${source}` });
    else found.push(...(await findSources(context, source, signal)));
  }
  return sourcesHash(found);
}

function unkeyed(stage: number, stageName: string, text: string, lines: LineRange): PredictedStep {
  return { stage, stageName, text, lines, key: undefined, parts: [], standsFor: undefined };
}
