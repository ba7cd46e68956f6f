/** What the report of a build shows. */
import { given } from '../../wire/given.ts';
import { shownSteps } from '../explain/build-view.ts';
import { type CatalogueContext, surprisesAt } from '../explain/catalogue.ts';
import type { Comparison } from '../explain/compare-steps.ts';
import { cureOf } from '../explain/cures.ts';
import type { StepExplanation } from '../explain/explain-build.ts';
import { stepOutcome } from '../explain/step-outcome.ts';
import { causeText, shortDigest } from '../explain/words.ts';
import type { BuildSummary, CacheSource, StepCounts, StepRecord } from '../history/build-record.ts';
import { criticalPath, spanOf } from './critical-path.ts';
import { keyTable, type PartTuple, type StepKeys } from './report-keys.ts';

/** What became of a step in the build beside this one. */
interface PastStep {
  readonly outcome: string;
  readonly start?: number;
  readonly end?: number;
  readonly duration?: number;
}

interface ReportStep extends StepKeys {
  readonly digest: string;
  readonly name: string;
  readonly stage: string;
  readonly number: string;
  readonly text: string;
  readonly line?: number;
  /** Where else it stands: one run serves all. */
  readonly also?: readonly string[];
  /** Whether an instruction of the Dockerfile became it. */
  readonly isShown: boolean;
  /** Milliseconds that it waited for its turn; of a step on the critical path. */
  readonly waited?: number;
  readonly outcome: string;
  /** Milliseconds since the build began. */
  readonly start?: number;
  readonly end?: number;
  /** Milliseconds that it took, without pauses. */
  readonly duration?: number;
  /** Positions in the page's list of steps. */
  readonly inputs: readonly number[];
  /** Why it ran, and by which steps that came in. */
  readonly causes: readonly { readonly text: string; readonly path: readonly number[] }[];
  readonly surprises: readonly { readonly id: string; readonly text: string; readonly cure: string }[];
  readonly from?: string;
  readonly cache?: string;
  readonly error?: string;
  /** The number of the build that it was compared with. */
  readonly against?: number;
  readonly log?: string;
  /** Bytes of output before what is shown. */
  readonly logCut?: number;
  readonly past?: PastStep;
}

/** A layer of an image. */
export interface ReportLayer {
  readonly digest: string;
  /** Bytes, as it is stored. */
  readonly size: number;
  readonly by?: string;
}

/** An image that the build made, one for each platform. */
export interface ReportImage {
  /** Empty for an only one. */
  readonly platform: string;
  readonly layers: readonly ReportLayer[];
}

interface ReportBuild {
  readonly number: number;
  readonly status: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly duration?: number;
  readonly context: string;
  readonly counts?: StepCounts;
}

export interface ReportData {
  readonly build: ReportBuild;
  /** The build beside it. */
  readonly past?: ReportBuild;
  /** Steps of the build beside it that this one does not have. */
  readonly gone: readonly (PastStep & { readonly stage: string; readonly text: string })[];
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly parts: readonly PartTuple[];
  readonly steps: readonly ReportStep[];
  readonly sources: readonly CacheSource[];
  readonly images: readonly ReportImage[];
  /** Milliseconds since the epoch, when the page was made. */
  readonly now: number;
}

/** What a report is made of besides the explanation. */
interface ReportSources {
  readonly context: CatalogueContext;
  readonly images: readonly ReportImage[];
  /** The build to set beside this one. */
  readonly past: BuildSummary | undefined;
  log(step: number): Uint8Array | undefined;
  labelOf(step: StepRecord): { readonly stage: string; readonly number: string; readonly text: string };
}

/** Everything that the page shows of a build. */
export function reportData({ context, images, past, log, labelOf }: ReportSources): ReportData {
  const { explanation, now } = context;
  const { build, view } = explanation;
  const explained = new Map(explanation.steps.map(step => [step.step, step]));
  const shown = shownSteps(view);
  const isShown = new Set(shown);
  const waits = new Map(criticalPath(view.steps).map(({ step, waited }) => [step, waited]));
  const table = keyTable(context.parts);
  const beside = past && explanation.comparison(past.number);
  const counterparts = new Set<number>();
  // The page has instructions first, in the order of the Dockerfile, then the rest.
  const order = [...new Set([...shown, ...view.steps.keys()])];
  const position = new Map(order.map((index, at) => [index, at]));
  const at = (indices: readonly number[]) => [...new Set(indices)].flatMap(index => position.get(index) ?? []);
  const nameOf = (index: number) => {
    const record = view.steps[index];
    return record === undefined ? 'an input' : sourceName(labelOf(record).text);
  };
  const steps = order.flatMap((index): ReportStep[] => {
    const record = view.steps[index];
    if (record === undefined) return [];
    const step = explained.get(index);
    const was = pastOf(index, step, explanation.comparison);
    const side = beside?.counterpart(index);
    if (side !== undefined) counterparts.add(side);
    const waited = waits.get(index);
    return [
      {
        digest: record.digest,
        name: record.name,
        ...labelOf(record),
        ...given('line', record.places[0]?.line),
        ...(record.places.length > 1 ? { also: alsoAt(record, labelOf(record).stage) } : {}),
        isShown: isShown.has(index),
        ...given('waited', waited),
        outcome: step?.outcome ?? stepOutcome(record),
        ...timesOf(record),
        inputs: at(record.inputs),
        causes: step?.causes.map(({ cause, path }) => ({ text: causeText(cause), path: at(path.slice(1)) })) ?? [],
        surprises: (step === undefined ? [] : surprisesAt(step, context)).map(({ id, text }) => ({
          id,
          text: shortDigest(text),
          cure: cureOf(id),
        })),
        ...given('from', step && originText(step, now)),
        ...given('cache', record.cache),
        ...given('error', record.error),
        ...given('against', step?.against),
        ...table.keysOf(record, was, nameOf),
        ...logOf(record, record.logBytes === undefined ? undefined : log(index)),
        ...given('past', beside && pastStep(beside.past.steps[side ?? -1])),
      },
    ];
  });
  const gone = beside === undefined ? [] : shownSteps(beside.past).filter(index => !counterparts.has(index));
  return {
    build: summaryOf(build),
    ...given('past', past && summaryOf(past)),
    gone: gone.flatMap(index => {
      const record = beside?.past.steps[index];
      const of = pastStep(record);
      return record === undefined || of === undefined ? [] : [{ ...labelOf(record), ...of }];
    }),
    facts: factsOf(build),
    parts: table.parts,
    steps,
    sources: build.sources ?? [],
    images,
    now,
  };
}

function summaryOf({ number, status, startedAt, duration, context, counts }: BuildSummary): ReportBuild {
  return { number, status, startedAt, context, ...given('duration', duration), ...given('counts', counts) };
}

/** The record of the same step in the build that it was compared with. */
function pastOf(
  index: number,
  step: StepExplanation | undefined,
  comparison: (build: number) => Comparison | undefined,
): StepRecord | undefined {
  const one = step?.against === undefined ? undefined : comparison(step.against);
  const before = one?.counterpart(index);
  return one === undefined || before === undefined ? undefined : one.past.steps[one.past.resolve(before)];
}

function pastStep(record: StepRecord | undefined): PastStep | undefined {
  return record && { outcome: stepOutcome(record), ...timesOf(record) };
}

function timesOf(record: StepRecord): Pick<PastStep, 'start' | 'end' | 'duration'> {
  const span = spanOf(record);
  return span === undefined ? {} : { ...span, duration: record.duration ?? 0 };
}

function logOf(record: StepRecord, output: Uint8Array | undefined): Pick<ReportStep, 'log' | 'logCut'> {
  if (output === undefined) return {};
  const cut = (record.logBytes ?? 0) - output.length;
  return { log: Buffer.from(output).toString(), ...(cut > 0 ? { logCut: cut } : {}) };
}

/** `[internal] load build context` is what people call the build context. */
function sourceName(text: string): string {
  return text.replace(/^\[internal\] load /, '').replace(/^\[[^\]]*\] /, '');
}

function alsoAt({ places }: StepRecord, stage: string): string[] {
  const others = places.filter(place => place.stage !== stage);
  return (others.length > 0 ? others : places.slice(1)).map(({ stage: name, line }) => `${name} line ${line}`.trim());
}

/** What a build was asked for and what it came to, in words. */
function factsOf(build: BuildSummary): [string, string][] {
  const facts: [string, string][] = [
    ['context', build.context],
    ['Dockerfile', build.dockerfile],
    ['id', build.id],
  ];
  for (const [name, value] of Object.entries(build.options)) facts.push([OPTIONS[name] ?? name, optionText(value)]);
  for (const [name, value] of Object.entries(build.response ?? {}))
    if (name.endsWith('digest')) facts.push([name, value]);
  if (build.error !== undefined) facts.push(['error', build.error]);
  return facts;
}

/** Options by the flags that people know them by. */
const OPTIONS: Readonly<Record<string, string>> = {
  addHosts: '--add-host',
  buildArgs: '--build-arg',
  cacheFrom: '--cache-from',
  cacheTo: '--cache-to',
  coldMounts: '--cold-mounts',
  labels: '--label',
  namedContexts: '--build-context',
  network: '--network',
  noCache: '--no-cache',
  outputs: '--output',
  platforms: '--platform',
  pull: '--pull',
  secrets: '--secret',
  ssh: '--ssh',
  tags: '--tag',
  target: '--target',
};

function optionText(value: unknown): string {
  if (value === true) return 'yes';
  if (Array.isArray(value)) return value.map(String).join('\n');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, one]) => `${name}=${one}`)
    .join('\n');
}

function originText({ from }: StepExplanation, now: number): string | undefined {
  if (from === undefined) return undefined;
  const place = from.cache === 'local' ? 'this machine' : (from.place ?? from.cache);
  const maker = from.build === undefined ? '' : `, made by build ${from.build}`;
  if (from.createdAt === undefined) return `from ${place}${maker}`;
  const hours = Math.max(0, now - from.createdAt) / 3_600_000;
  const age =
    hours < 1
      ? `${Math.ceil(hours * 60)} min`
      : hours < 48
        ? `${Math.round(hours)} h`
        : `${Math.round(hours / 24)} days`;
  return `from ${place}${maker}, ${age} old`;
}
