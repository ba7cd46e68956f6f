import { outcropRoot } from '../../host/config/paths.ts';
import { needsRootless, runRootless } from '../../host/runtime/rootless.ts';
import { isLink } from '../../insight/explain/build-view.ts';
import { type BuildExplanation, explainBuild, type StepExplanation } from '../../insight/explain/explain-build.ts';
import { baseOf, type PartsReader } from '../../insight/explain/step-kind.ts';
import type { BuildSummary, StepRecord } from '../../insight/history/build-record.ts';
import { buildRecorder, type RecordedBuild } from '../../insight/history/recorder.ts';
import { openEmbeddedBuilder } from '../builder/embedded.ts';
import { buildStart } from '../builder/record-build.ts';
import { type BuildFlags, buildRequest } from './build-request.ts';
import { interruptSignal } from './interrupt.ts';
import { openBuildHistory } from './open-history.ts';
import { explanationJson } from './why-json.ts';
import { type PlanOutcome, planText } from './why-text.ts';

/** Flags of `outcrop plan`: those of `outcrop build` without what becomes of the result. */
export type PlanFlags = Partial<BuildFlags> & { readonly json?: true };

/** What flags mean that `outcrop plan` does not have. */
const NO_RESULT = {
  annotation: [],
  call: 'build',
  tag: [],
  output: [],
  attest: [],
  cacheTo: [],
  progress: 'none',
} as const;

type PlannedOutcomes = Awaited<ReturnType<ReturnType<typeof openEmbeddedBuilder>['plan']>>;

/**
 * Prints what a build would hit and run.
 * @returns the exit code. @throws what planning a build throws
 */
export async function runPlan(path: string, flags: PlanFlags): Promise<number> {
  if (needsRootless()) return runRootless();
  await using builder = openEmbeddedBuilder({ endsWithProcess: true });
  const given = flags as BuildFlags & PlanFlags;
  const request = await buildRequest(path, { ...given, ...NO_RESULT });
  using interrupt = interruptSignal();
  const now = Date.now();
  const recorder = buildRecorder(BigInt(now) * 1_000_000n);
  const outcomes = await builder.plan(request, recorder.sink, interrupt.signal);
  const recorded = recorder.record();
  const steps = recorded.steps.map(step => plannedStep(step, outcomes));
  const build: BuildSummary = {
    ...buildStart(request, now),
    number: Number.MAX_SAFE_INTEGER,
    status: 'running',
    dockerfileText: 'plan',
    sources: recorded.sources,
  };
  using opened = openBuildHistory(outcropRoot());
  if (opened === undefined) throw new Error('planning has made no root');
  const { sources, catalogue } = opened;
  const parts = (digest: string) => sources.parts(digest) ?? recorded.parts.get(digest)?.();
  const explanation = explainBuild(build, {
    ...sources,
    parts,
    steps: number => (number === build.number ? steps : sources.steps(number)),
    text: digest => (digest === 'plan' ? dockerfileOf(recorded) : sources.text(digest)),
  });
  const context = { ...catalogue(explanation, now), parts };
  const outcomeOf = planOutcomes(explanation, steps, outcomes, parts);
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(explanationJson(context, explanation.steps, outcomeOf), undefined, 2)}\n`
      : planText(context, explanation.steps, outcomeOf),
  );
  return 0;
}

/** What would become of each step. What is read counts by content, which nobody knows before it is made. */
function planOutcomes(
  { view, steps: explained }: BuildExplanation,
  steps: readonly StepRecord[],
  outcomes: PlannedOutcomes,
  parts: PartsReader,
): (step: StepExplanation) => PlanOutcome {
  const known = new Map<number, PlanOutcome>();
  const isOwn = (step: number) =>
    explained.find(one => one.step === step)?.causes.some(({ path }) => path.length === 1) ?? false;
  const outcomeAt = (step: number): PlanOutcome => {
    const found = known.get(step) ?? compute(step);
    known.set(step, found);
    return found;
  };
  const compute = (step: number): PlanOutcome => {
    const record = steps[step];
    const outcome = outcomes.get(record?.digest ?? '');
    if (record === undefined || outcome !== 'run') return outcome ?? 'not needed';
    if (isOwn(step)) return 'run';
    const base = baseOf(view, step, parts);
    const isMerge = isLink(record);
    const made = record.inputs.map(input => {
      const below = outcomeAt(input);
      return below === 'run' && input !== base && !isMerge ? 'maybe' : below;
    });
    return made.includes('maybe') && !made.includes('run') ? 'maybe' : 'run';
  };
  return ({ step }) => outcomeAt(step);
}

/** A step as if the build had been made. */
function plannedStep(step: StepRecord, outcomes: PlannedOutcomes): StepRecord {
  const { error: _refused, cached: _shown, ...rest } = step;
  const outcome = outcomes.get(step.digest);
  if (outcome === 'hit') return { ...rest, cached: true };
  return outcome === 'run' ? { ...rest, outcome: 'ran' } : rest;
}

function dockerfileOf({ dockerfile }: RecordedBuild): string | undefined {
  return dockerfile === undefined ? undefined : Buffer.from(dockerfile).toString();
}
