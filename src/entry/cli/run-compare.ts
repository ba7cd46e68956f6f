import { resolve } from 'node:path';
import { type Prediction, predictOutcomes } from '../../engine/legacy/predict.ts';
import type { KeyPart } from '../../engine/status/event.ts';
import { outcropRoot } from '../../host/config/paths.ts';
import { needsRootless, runRootless } from '../../host/runtime/rootless.ts';
import { type BuildView, buildView } from '../../insight/explain/build-view.ts';
import { compareBuilders } from '../../insight/explain/compare-builders.ts';
import { dockerfileModel } from '../../insight/explain/dockerfile-model.ts';
import { type BuildExplanation, type ExplainSources, explainBuild } from '../../insight/explain/explain-build.ts';
import { type KnownOutcome, knownOutcomes } from '../../insight/explain/known-outcomes.ts';
import type { BuildStart, BuildSummary, StepRecord } from '../../insight/history/build-record.ts';
import { buildRecorder, type RecordedBuild } from '../../insight/history/recorder.ts';
import { type EmbeddedBuilder, openEmbeddedBuilder } from '../builder/embedded.ts';
import { buildStart } from '../builder/record-build.ts';
import { isSupposedContent } from '../builder/supposed-build.ts';
import type { BuildFlags } from './build-request.ts';
import { comparisonJson, comparisonText } from './compare-text.ts';
import { type ComparedState, findState } from './compared-state.ts';
import { UsageError } from './errors.ts';
import { interruptSignal } from './interrupt.ts';
import { type OpenHistory, openBuildHistory } from './open-history.ts';
import { type BaseConfigs, HIDDEN, predictBuild, predictFiles, recordedHash } from './predict-legacy.ts';
import { reasonText } from './why-text.ts';

/** Flags of `outcrop compare`. */
export type CompareFlags = Partial<BuildFlags> & {
  readonly against?: string;
  readonly to: string;
  readonly run?: true;
  readonly json?: true;
};

/** What the flags mean that the command does not have. */
const UNASKED = {
  annotation: [],
  attest: [],
  cache: true,
  cacheFrom: [],
  cacheTo: [],
  call: 'build',
  noCacheFilter: [],
  output: [],
  progress: 'none',
  tag: [],
} as const;

/** A state with all that is known of its steps. */
interface KnownState {
  readonly summary: BuildSummary;
  readonly steps: readonly StepRecord[];
  readonly dockerfile: string | undefined;
  readonly parts: ReadonlyMap<string, () => readonly KeyPart[]>;
  readonly prediction: Prediction;
}

const NOTHING: Prediction = { steps: [] };

/**
 * Prints what BuildKit's model and that of the legacy builder would find of one state when another one is built.
 * @returns the exit code. @throws UsageError for states that there are not, and what planning a build throws
 */
export async function runCompare(path: string, flags: CompareFlags): Promise<number> {
  if (needsRootless()) return runRootless();
  await using builder = openEmbeddedBuilder({ endsWithProcess: true });
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  const given = { ...(flags as BuildFlags), ...UNASKED };
  using opened = openBuildHistory(outcropRoot());
  const past = await findState(flags.against, path, given, opened?.history);
  const now = await findState(flags.to, path, given, opened?.history);
  if (now.kind === 'none') throw new UsageError('--to none: there is nothing to build; give a state of files');
  const byRecord = past.kind === 'build' || now.kind === 'build';
  const configs: BaseConfigs = new Map();
  const known = (state: ComparedState, number: number) =>
    knownState(state, { builder, opened, configs, number, byRecord, signal });
  // Of a build of the history only names of images are known: what they are is learnt from the other state.
  const isLate = past.kind === 'build';
  const first = isLate ? await known(now, NOW) : await known(past, PAST);
  const second = isLate ? await known(past, PAST) : await known(now, NOW);
  const [before, after] = isLate ? [second, first] : [first, second];
  if (after === undefined) throw new TypeError('a state without steps');
  const explained = explainStates(after, before, opened);
  const model = dockerfileModel(after.dockerfile ?? '');
  if (model === undefined) throw new UsageError(`the Dockerfile of ${now.name} is not known`);
  const target = after.summary.options.target;
  const runs = flags.run ? await runStates(past, now, after.prediction, signal) : undefined;
  const stepAt = (step: number) => {
    const [place] = after.steps[step]?.places ?? [];
    return place && runs?.stepAt(place);
  };
  const foretold = predictOutcomes(after.prediction.steps, before?.prediction.steps ?? []);
  const context = { explanation: explained.explanation, parts: explained.parts, now: Date.now() };
  const rows = compareBuilders({
    explanation: explained.explanation,
    past: before?.dockerfile === undefined ? undefined : dockerfileModel(before.dockerfile),
    now: model,
    target,
    outcomeOf: step => ranOutcome(stepAt(step)) ?? explained.outcomeOf(step),
    reasonOf: step => (before === undefined && step.outcome !== 'shared' ? '' : reasonText(step, context)),
    legacy: {
      past: before?.prediction ?? NOTHING,
      now: after.prediction,
      outcomes: foretold.map((outcome, index) => runs?.legacy[index] ?? outcome),
      ...(runs === undefined ? {} : { durations: runs.legacyDurations }),
    },
    tookNow: step => stepAt(step)?.duration,
    tookBefore: durations(projectOf(path, flags), opened),
  });
  const comparison = { past: past.name, now: now.name, isRun: runs !== undefined, rows };
  process.stdout.write(flags.json ? comparisonJson(comparison) : comparisonText(comparison));
  return 0;
}

/** Builds both states with both builders. */
async function runStates(past: ComparedState, now: ComparedState, { steps, failure }: Prediction, signal: AbortSignal) {
  if (past.kind === 'build' || now.kind !== 'files')
    throw new UsageError('--run builds files: compare the tree or git revisions');
  if (failure !== undefined) throw new UsageError(`--run: the legacy builder refuses it: ${failure.message}`);
  const { runBoth } = await import('./run-both.ts');
  const requests = past.kind === 'none' ? [now.request] : [past.request, now.request];
  return runBoth(outcropRoot(), requests, steps, signal);
}

function ranOutcome(step: StepRecord | undefined): KnownOutcome | undefined {
  if (step === undefined) return undefined;
  return step.outcome === 'ran' && !step.cached ? 'run' : 'hit';
}

const NOW = Number.MAX_SAFE_INTEGER;
const PAST = NOW - 1;

interface Knowing {
  readonly builder: EmbeddedBuilder;
  readonly opened: OpenHistory | undefined;
  readonly configs: BaseConfigs;
  readonly number: number;
  /** Files are told apart by keys that were recorded. */
  readonly byRecord: boolean;
  readonly signal: AbortSignal;
}

async function knownState(state: ComparedState, knowing: Knowing): Promise<KnownState | undefined> {
  if (state.kind === 'none') return undefined;
  const { opened, configs, signal } = knowing;
  if (state.kind === 'files') return supposedState(state, knowing);
  const { build } = state;
  if (opened === undefined) throw new TypeError('a build without a history');
  const { sources } = opened;
  const view = buildView(build, sources);
  const dockerfile = build.dockerfileText === undefined ? undefined : sources.text(build.dockerfileText);
  if (dockerfile === undefined) throw new UsageError(`${state.name} ended before its Dockerfile was read`);
  const parts = (digest: string) => sources.parts(digest);
  const prediction = await predictBuild(view, dockerfile, parts, configs, signal);
  return { summary: build, steps: view.steps, dockerfile, parts: new Map(), prediction };
}

async function supposedState(
  { dir, request }: Extract<ComparedState, { readonly kind: 'files' }>,
  { builder, configs, number, byRecord, signal }: Knowing,
): Promise<KnownState> {
  const startedAt = Date.now();
  const recorder = buildRecorder(BigInt(startedAt) * 1_000_000n);
  return builder.suppose(
    request,
    {
      emit: recorder.sink,
      hidden: HIDDEN,
      async use(supposed) {
        const recorded = recorder.record();
        const dockerfile = Buffer.from(supposed.dockerfile).toString();
        const summary: BuildSummary = {
          ...buildStart(request, startedAt),
          number,
          status: 'done',
          counts: recorded.counts,
          dockerfileText: textName(number),
        };
        const steps = recorded.steps.map(withoutSupposed);
        const state = { summary, steps, dockerfile, parts: recorded.parts };
        const hash = byRecord ? recordedHash(viewOf(state), partsOf(recorded)) : undefined;
        return { ...state, prediction: await predictFiles(dir, request, supposed, configs, hash, signal) };
      },
    },
    signal,
  );
}

const textName = (number: number): string => `state ${number}`;

function partsOf({ parts }: Pick<RecordedBuild, 'parts'>) {
  return (digest: string) => parts.get(digest)?.();
}

function viewOf(state: Omit<KnownState, 'prediction'>): BuildView {
  return buildView(state.summary, {
    steps: () => state.steps,
    text: () => state.dockerfile,
    parts: partsOf(state),
  });
}

/** A step without keys of files that nobody made. */
function withoutSupposed(step: StepRecord): StepRecord {
  const keys = step.keys.map(key => {
    if (key?.content === undefined || !isSupposedContent(key.content)) return key;
    const { content: _nobodyKnows, ...rest } = key;
    return rest;
  });
  return { ...step, keys };
}

/** Explains a state against another one, as if builds had been made of both. */
function explainStates(after: KnownState, before: KnownState | undefined, opened: OpenHistory | undefined) {
  const states = [after, ...(before === undefined ? [] : [before])];
  const stateOf = (number: number) => states.find(({ summary }) => summary.number === number);
  const parts = (digest: string) =>
    states.map(state => state.parts.get(digest)?.()).find(found => found !== undefined) ??
    opened?.sources.parts(digest);
  // Only the state counts for what is compared, not where its files happen to lie.
  const summaryOf = (state: KnownState): BuildSummary => ({ ...state.summary, context: after.summary.context });
  const views = states.map(state => buildView(summaryOf(state), readerOf(state, parts, opened)));
  const [now, past] = views;
  if (now === undefined) throw new TypeError('nothing to explain');
  const outcomeOf = past === undefined ? () => 'run' as const : knownOutcomes(past, now, parts);
  const steps = after.steps.map((step, index) => (outcomeOf(index) === 'hit' ? asHit(step) : step));
  const sources: ExplainSources = {
    steps: number => (number === after.summary.number ? steps : (stateOf(number)?.steps ?? [])),
    text: digest => states.find(({ summary }) => summary.dockerfileText === digest)?.dockerfile,
    parts,
    earlier: () => [],
    removal: () => undefined,
  };
  const explanation: BuildExplanation = explainBuild(
    summaryOf(after),
    sources,
    before === undefined ? undefined : summaryOf(before),
  );
  return { explanation, parts, outcomeOf };
}

function readerOf(state: KnownState, parts: ExplainSources['parts'], opened: OpenHistory | undefined) {
  return {
    steps: () => state.steps,
    text: (digest: string) => state.dockerfile ?? opened?.sources.text(digest),
    parts,
  };
}

function asHit(step: StepRecord): StepRecord {
  return step.outcome === 'merged' ? step : { ...step, outcome: 'hit', cached: true };
}

/** What builds of the directory itself are known by. */
function projectOf(path: string, { file }: CompareFlags): BuildStart {
  const dockerfile = file === undefined ? resolve(path, 'Dockerfile') : resolve(file);
  return { id: '', startedAt: 0, context: resolve(path), dockerfile, options: {} };
}

/** So many builds are looked at for how long a step takes. */
const LOOKED_AT = 20;

/** How long steps took when they last ran on this machine. */
function durations(project: BuildStart, opened: OpenHistory | undefined): (text: string) => number | undefined {
  const found = new Map<string, number>();
  for (const { number } of opened?.history.list({ project, limit: LOOKED_AT }) ?? []) {
    for (const { outcome, duration, cached, places } of opened?.history.steps(number) ?? []) {
      if (outcome !== 'ran' || cached || duration === undefined) continue;
      for (const { text } of places) if (!found.has(text)) found.set(text, duration);
    }
  }
  return text => found.get(text);
}
