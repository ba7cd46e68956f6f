/** What the report of a build shows. */
import { shownSteps } from '../explain/build-view.ts';
import { type CatalogueContext, surprisesAt } from '../explain/catalogue.ts';
import type { BuildExplanation, StepExplanation } from '../explain/explain-build.ts';
import { causeText } from '../explain/words.ts';
import type { CacheSource, StepRecord } from '../history/build-record.ts';

/** A part of a key, and how it differs from the build that the step was compared with. */
interface ReportKey {
  readonly kind: string;
  readonly name: string;
  readonly value: string;
  readonly change?: 'new' | 'changed' | 'gone';
  readonly before?: string;
}

interface ReportStep {
  readonly digest: string;
  readonly name: string;
  readonly stage: string;
  readonly number: string;
  readonly text: string;
  readonly line?: number;
  /** Whether an instruction of the Dockerfile became it. */
  readonly isShown: boolean;
  readonly isCritical: boolean;
  readonly outcome: string;
  /** Milliseconds since the build began. */
  readonly start?: number;
  readonly duration?: number;
  readonly inputs: readonly number[];
  readonly causes: readonly string[];
  readonly surprises: readonly string[];
  readonly from?: string;
  readonly cache?: string;
  readonly error?: string;
  readonly against?: number;
  readonly keys: readonly ReportKey[];
  /** Parts that are the same and left out. */
  readonly keysLeft: number;
  readonly log?: string;
}

/** A layer of the image. */
export interface ReportLayer {
  readonly digest: string;
  /** Bytes, as it is stored. */
  readonly size: number;
  readonly by?: string;
}

export interface ReportData {
  readonly build: { readonly number: number; readonly status: string; readonly summary: string };
  readonly facts: Readonly<Record<string, string>>;
  readonly steps: readonly ReportStep[];
  readonly sources: readonly CacheSource[];
  readonly layers: readonly ReportLayer[];
}

/** What a report is made of besides the explanation. */
interface ReportSources {
  readonly context: CatalogueContext;
  readonly layers: readonly ReportLayer[];
  log(step: number): Uint8Array | undefined;
  labelOf(step: StepRecord): { readonly stage: string; readonly number: string; readonly text: string };
}

/** Parts of one key that are shown though they are the same. */
const SAME_PARTS = 40;

/** Everything that the page shows of a build. */
export function reportData({ context, layers, log, labelOf }: ReportSources): ReportData {
  const { explanation } = context;
  const { build, view } = explanation;
  const explained = new Map(explanation.steps.map(step => [step.step, step]));
  const shown = shownSteps(view);
  const critical = criticalPath(view.steps);
  // The page has instructions first, in the order of the Dockerfile, then the rest.
  const order = [...new Set([...shown, ...view.steps.keys()])];
  const position = new Map(order.map((index, at) => [index, at]));
  const steps = order.flatMap((index): ReportStep[] => {
    const record = view.steps[index];
    if (record === undefined) return [];
    const step = explained.get(index);
    const output = record.logBytes === undefined ? undefined : log(index);
    const from = step === undefined ? undefined : originText(step, context.now);
    const [first] = record.places;
    return [
      {
        digest: record.digest,
        name: record.name,
        ...labelOf(record),
        ...(first === undefined ? {} : { line: first.line }),
        isShown: first !== undefined && shown.includes(index),
        isCritical: critical.has(index),
        outcome: step?.outcome ?? outcomeOf(record),
        ...(record.start === undefined ? {} : { start: record.start }),
        ...(record.duration === undefined ? {} : { duration: record.duration }),
        inputs: [...new Set(record.inputs)].flatMap(input => position.get(input) ?? []),
        causes: step?.causes.map(({ cause }) => causeText(cause)) ?? [],
        surprises: step === undefined ? [] : surprisesAt(step, context).map(({ text }) => text),
        ...(from === undefined ? {} : { from }),
        ...(record.cache === undefined ? {} : { cache: record.cache }),
        ...(record.error === undefined ? {} : { error: record.error }),
        ...(step?.against === undefined ? {} : { against: step.against }),
        ...keysOfStep(index, step, explanation, context),
        ...(output === undefined ? {} : { log: Buffer.from(output).toString() }),
      },
    ];
  });
  const { counts } = build;
  const took = build.duration === undefined ? '' : `, ${(build.duration / 1000).toFixed(1)} s`;
  const ran = counts === undefined ? '' : `: ${counts.steps} steps, ${counts.cached} cached, ${counts.ran} ran`;
  const started = new Date(build.startedAt).toISOString();
  const facts: Record<string, string> = { Id: build.id, Started: started, Context: build.context };
  facts['Dockerfile'] = build.dockerfile;
  for (const [name, value] of Object.entries(build.options)) {
    facts[name] = typeof value === 'string' ? value : JSON.stringify(value);
  }
  for (const [name, value] of Object.entries(build.response ?? {})) if (name.endsWith('digest')) facts[name] = value;
  if (build.error !== undefined) facts['Error'] = build.error;
  const summary = `${build.context}${ran}${took} (${started})`;
  return {
    build: { number: build.number, status: build.status, summary },
    facts,
    steps,
    sources: build.sources ?? [],
    layers,
  };
}

function outcomeOf({ error, cached, outcome }: StepRecord): string {
  if (error !== undefined) return 'failed';
  if (cached || outcome === 'hit') return 'cached';
  return outcome === 'merged' ? 'shared' : (outcome ?? 'not reached');
}

function originText({ from }: StepExplanation, now: number): string | undefined {
  if (from === undefined) return undefined;
  const place = from.cache === 'local' ? 'this machine' : from.cache;
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

/** Steps that the build waited for: back from the last to end, each time to the input that ended last. */
function criticalPath(steps: readonly StepRecord[]): Set<number> {
  const endOf = (index: number) => (steps[index]?.start ?? 0) + (steps[index]?.duration ?? 0);
  const last = (indices: Iterable<number>) => {
    let found: number | undefined;
    for (const index of indices) if (found === undefined || endOf(index) > endOf(found)) found = index;
    return found;
  };
  const path = new Set<number>();
  let at = last(steps.keys());
  while (at !== undefined && !path.has(at)) {
    path.add(at);
    at = last(steps[at]?.inputs ?? []);
  }
  return path;
}

type NamedPart = Omit<ReportKey, 'change' | 'before'>;

function partsOfStep(step: StepRecord | undefined, { parts }: CatalogueContext): Map<string, NamedPart> {
  const digests = [
    ...(step?.definitions ?? []),
    ...(step?.keys ?? []).flatMap(key => [key?.selector, key?.content]),
  ].filter(digest => digest !== undefined);
  const named = new Map<string, NamedPart>();
  for (const digest of digests) {
    for (const { kind, name, value } of parts(digest) ?? []) named.set(`${kind}\0${name}`, { kind, name, value });
  }
  return named;
}

function keysOfStep(
  index: number,
  step: StepExplanation | undefined,
  explanation: BuildExplanation,
  context: CatalogueContext,
): Pick<ReportStep, 'keys' | 'keysLeft'> {
  const now = partsOfStep(explanation.view.steps[index], context);
  const comparison = step?.against === undefined ? undefined : explanation.comparison(step.against);
  const before = comparison?.counterpart(index);
  if (comparison === undefined || before === undefined) {
    const all = [...now.values()];
    return { keys: all.slice(0, SAME_PARTS), keysLeft: Math.max(0, all.length - SAME_PARTS) };
  }
  const past = partsOfStep(comparison.past.steps[before], context);
  const changed: ReportKey[] = [];
  const same: ReportKey[] = [];
  for (const [id, part] of now) {
    const old = past.get(id);
    if (old === undefined) changed.push({ ...part, change: 'new' });
    else if (old.value !== part.value) changed.push({ ...part, change: 'changed', before: old.value });
    else same.push(part);
  }
  for (const [id, part] of past) if (!now.has(id)) changed.push({ ...part, change: 'gone' });
  return { keys: [...changed, ...same.slice(0, SAME_PARTS)], keysLeft: Math.max(0, same.length - SAME_PARTS) };
}
