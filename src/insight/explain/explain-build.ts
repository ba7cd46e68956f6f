/** Why each step of a build was cached or ran, from what the history knows. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { BuildSummary, StepRecord } from '../history/build-record.ts';
import { shownParts } from '../history/secret-values.ts';
import {
  type BuildView,
  buildView,
  cacheName,
  type HistoryReader,
  isSource,
  keysOf,
  shownSteps,
} from './build-view.ts';
import type { FileCause, RecordCause } from './cause.ts';
import { type Comparison, type ComparisonReader, compareBuilds, type FoundCause } from './compare-steps.ts';
import { scopeOf } from './dockerfile-model.ts';
import type { ContentCheck } from './file-changes.ts';
import { buildsElsewhere } from './other-places.ts';
import { type StepOutcome, stepOutcome } from './step-outcome.ts';

/** A removal of a result from the cache. */
interface Removal {
  /** Milliseconds since the epoch. */
  readonly removedAt: number;
  readonly rule: string;
  /** Bytes. */
  readonly size: number;
  readonly lastUsedAt: number;
}

/** What explanations need to know. */
export interface ExplainSources extends HistoryReader {
  /** Earlier builds of the same context and Dockerfile, newest first, at most `limit`. */
  earlier(build: BuildSummary, limit: number): readonly BuildSummary[];
  /** Earlier builds of whatever, newest first, at most `limit`. */
  readonly recent?: (build: BuildSummary, limit: number) => readonly BuildSummary[];
  /** The latest removal of what any of these names meant. */
  removal(names: readonly string[]): Removal | undefined;
  /** The parts behind two digests without many that both have; undefined where they are not at hand. */
  readonly differingParts?: (
    one: string,
    other: string,
  ) => readonly [readonly KeyPart[], readonly KeyPart[]] | undefined;
  /** For the newest state of the context only. */
  readonly sameContent?: ContentCheck;
}

export interface StepExplanation {
  /** Position in the build's list of steps. */
  readonly step: number;
  readonly record: StepRecord;
  readonly outcome: StepOutcome;
  /** Milliseconds; of a step that ran. */
  readonly duration?: number;
  /** The build that it was compared with. */
  readonly against?: number;
  /** Why it ran; empty for one that did not. */
  readonly causes: readonly FoundCause[];
  /** The inputs by which an earlier step's difference came in, with the files of them that differ. */
  readonly through: readonly { readonly step: number; readonly files?: readonly FileCause[] }[];
  /** Where the result of a cached step comes from. */
  readonly from?: {
    /** `local`, or the identity of an import. */
    readonly cache: string;
    /** Where that import lies, when the newest result in it was made, and when it was exported, if it says so. */
    readonly place?: string;
    readonly newest?: number;
    readonly exportedAt?: number;
    readonly createdAt?: number;
    /** The build that made it, if the history still has it. */
    readonly build?: number;
  };
  /** What a cached step's instruction said in the build before: the difference is no part of the key. */
  readonly rewritten?: string;
  /** A line above a cached step that says something else than in the build before, and that no key holds: a label, a port. */
  readonly above?: string;
  /** The step whose run this one shares. */
  readonly sharedWith?: number;
}

export interface BuildExplanation {
  readonly build: BuildSummary;
  readonly view: BuildView;
  /** In the order in which they were planned. */
  readonly steps: readonly StepExplanation[];
  /** The comparison with a build, if one was made. */
  comparison(build: number): Comparison | undefined;
}

/** Instructions that change nothing but the image's config. */
const METADATA: ReadonlySet<string> = new Set([
  'LABEL',
  'EXPOSE',
  'CMD',
  'ENTRYPOINT',
  'STOPSIGNAL',
  'HEALTHCHECK',
  'VOLUME',
  'MAINTAINER',
]);

/** What failed before it could be looked up: nothing of it can be compared. */
const NO_KEY = /^failed to (compute cache key|calculate checksum)\b/;

/** So many earlier builds are looked at for one that a step is like. */
const CANDIDATES = 10;
/** So many builds of whatever are looked through for the same project in another place. */
const RECENT = 100;

/** Explains a build. @param against compare with this build only */
export function explainBuild(build: BuildSummary, sources: ExplainSources, against?: BuildSummary): BuildExplanation {
  const view = buildView(build, sources);
  const views = new Map<number, BuildView>();
  const comparisons = new Map<number, Comparison>();
  let before: BuildExplanation | undefined;
  const candidates = against === undefined ? earlierBuilds(build, sources) : [against];
  const reader = comparisonReader(sources, () => [view, ...candidates.map(viewOf)]);

  function viewOf(summary: BuildSummary): BuildView {
    const known = views.get(summary.number) ?? buildView(summary, sources);
    views.set(summary.number, known);
    return known;
  }

  function comparisonWith(summary: BuildSummary): Comparison {
    const known = comparisons.get(summary.number) ?? compareBuilds(viewOf(summary), view, reader);
    comparisons.set(summary.number, known);
    return known;
  }

  function explainStep(step: number): StepExplanation {
    const record = view.steps[step];
    if (record === undefined) throw new RangeError(`build ${build.number} has no step ${step}`);
    const outcome = stepOutcome(record);
    const base = { step, record, outcome, causes: [], through: [] };
    if (outcome === 'cached') {
      return {
        ...base,
        from: fromOf(view, record, candidates.map(viewOf)),
        ...rewrittenFrom(step),
        ...changedAbove(step),
      };
    }
    if (outcome === 'shared') return { ...base, sharedWith: view.resolve(step) };
    const { duration, error = '' } = record;
    if (outcome === 'not reached' || NO_KEY.test(error)) return base;
    return { ...base, ...(duration === undefined ? {} : { duration }), ...whyRan(step) };
  }

  /** What the instruction of a cached step said in the build before, if that was something else. */
  function rewrittenFrom(step: number): Pick<StepExplanation, 'rewritten'> {
    const [latest] = candidates;
    const past = latest && comparisonWith(latest).counterpart(step);
    const [was, is] = [latest && viewOf(latest).steps[past ?? -1]?.places[0]?.text, view.steps[step]?.places[0]?.text];
    return was === undefined || is === undefined || was === is ? {} : { rewritten: was };
  }

  /** Metadata above a cached step that is new. */
  function changedAbove(step: number): Pick<StepExplanation, 'above'> {
    const [latest] = candidates;
    const place = view.steps[step]?.places[0];
    const instruction = place && view.instructionAt(place);
    if (latest === undefined || instruction === undefined || view.model === undefined) return {};
    const { alignment } = comparisonWith(latest);
    const changed = scopeOf(view.model, instruction).find(
      one => METADATA.has(one.keyword) && alignment.oldOf(one)?.full !== one.full,
    );
    return changed === undefined ? {} : { above: changed.text };
  }

  function whyRan(step: number): Pick<StepExplanation, 'against' | 'causes' | 'through'> {
    const best = nearest(step);
    if (best?.past === undefined) return { causes: [{ cause: withoutCounterpart(step), path: [step] }], through: [] };
    const { comparison, past, causes } = best;
    const { through } = comparison.difference(step, past);
    const { number } = comparison.past.summary;
    // A build that came later cannot tell why a result was not there.
    if (causes.length === 0 && number > build.number)
      return { against: number, causes: unlikeBefore(step), through: [] };
    return {
      against: number,
      causes: causes.length > 0 ? causes : recordCauses(comparison, step, past),
      through: through
        .filter(one => one.files !== undefined || comparison.causes(one.now, one.past).length > 0)
        .map(({ now, files }) => (files === undefined ? { step: now } : { step: now, files })),
    };
  }

  /** Why a step ran, by what was built before it. */
  function unlikeBefore(step: number): readonly FoundCause[] {
    before ??= explainBuild(build, sources);
    return before.steps.find(one => one.step === step)?.causes ?? [];
  }

  /** The earlier build whose step is the most like this one: the same if there is one, else the newest with the least changes. */
  function nearest(step: number) {
    let best:
      | { comparison: Comparison; past?: number; causes: FoundCause[]; isWhole: boolean; weight: number }
      | undefined;
    for (const summary of candidates) {
      const comparison = comparisonWith(summary);
      const past = comparison.counterpart(step);
      if (past === undefined) {
        // That it is new here is one cause, and a better one than that it is unlike a step of an older build.
        const cause = withoutCounterpart(step);
        if (best === undefined && cause.kind === 'instruction') {
          best = { comparison, causes: [{ cause, path: [step] }], isWhole: true, weight: 1 };
        }
        continue;
      }
      // One that reads other files is no better than a build with so few changes, and long lists of files take long to compare.
      if (best?.isWhole && best.weight <= OLDER + 1 && comparison.readsOther(step, past)) continue;
      const causes = comparison.causes(step, past);
      const isWhole = isComplete(comparison.past.steps[comparison.past.resolve(past)]);
      // The build before is what people have in mind: an older one has to be much more like it.
      const weight = weightOf(causes) + (causes.length > 0 && summary !== candidates[0] ? OLDER : 0);
      const isBetter = best === undefined || (isWhole && !best.isWhole) || (isWhole && weight < best.weight);
      if (isBetter) best = { comparison, past, causes, isWhole, weight };
      if (isWhole && causes.length === 0) break;
    }
    return best;
  }

  /** A step that no earlier build has. */
  function withoutCounterpart(step: number): FoundCause['cause'] {
    const [latest] = candidates;
    if (view.steps[step]?.forced) return { kind: 'record', reason: 'no-cache' };
    if (latest === undefined) return importCause(view, step) ?? { kind: 'record', reason: 'first-build' };
    const { alignment } = comparisonWith(latest);
    const place = view.steps[step]?.places[0];
    const instruction = place && view.instructionAt(place);
    if (place && instruction && alignment.oldOf(instruction) === undefined) {
      return { kind: 'instruction', change: 'added', stage: place.stage, line: place.line, after: place.text };
    }
    return { kind: 'record', reason: 'never-built', build: latest.number };
  }

  /** Nothing differs, so the result was not there: why not. */
  function recordCauses(comparison: Comparison, step: number, past: number): FoundCause[] {
    const [current, old] = [view.resolve(step), comparison.past.resolve(past)];
    const [now, was] = [view.steps[current], comparison.past.steps[old]];
    const own =
      sourceCause(was, view, comparison.past) ??
      recordCause(view, now, was, comparison.past.summary.number, sources) ??
      importCause(view, current);
    if (own !== undefined) return [{ cause: own, path: [step] }];
    // The result of an input came out differently: it was made anew.
    for (const through of comparison.difference(step, past).through) {
      if (stepOutcome(view.steps[view.resolve(through.now)]) !== 'ran') continue;
      return recordCauses(comparison, through.now, through.past).map(({ cause, path }) => ({
        cause,
        path: [step, ...path],
      }));
    }
    const anew = madeAnew(current, comparison.past.summary.number);
    if (anew !== undefined) return [{ cause: anew, path: [step] }];
    const isMounted = now?.inputs.some(
      (input, index) => isSource(view.steps[input]) && keysOf(now, index).content === undefined && isLocal(view, input),
    );
    return [{ cause: { kind: 'record', reason: isMounted ? 'uncacheable' : 'lost' }, path: [step] }];
  }

  /** An input of a step that a build since number `past` was told to run again. */
  function madeAnew(step: number, past: number): RecordCause | undefined {
    for (const input of view.steps[step]?.inputs ?? []) {
      const { record, places = [], name = '' } = view.steps[view.resolve(input)] ?? {};
      if (record === undefined) continue;
      const isMadeIn = ({ forced, outcome, record: made }: StepRecord) =>
        forced && outcome === 'ran' && made === record;
      const maker = candidates.find(one => one.number > past && viewOf(one).steps.some(isMadeIn));
      if (maker !== undefined)
        return { kind: 'record', reason: 'made-anew', build: maker.number, detail: places[0]?.text ?? name };
    }
    return undefined;
  }

  function isLocal(of: BuildView, step: number): boolean {
    return of.steps[step]?.definitions.some(digest => digest.startsWith('parts:')) ?? false;
  }

  return {
    build,
    view,
    steps: shownSteps(view).map(explainStep),
    comparison: number => comparisons.get(number),
  };
}

/** What a build is compared with: earlier ones of the same place, else of the same project in another one. */
function earlierBuilds(build: BuildSummary, sources: ExplainSources): BuildSummary[] {
  const here = sources.earlier(build, CANDIDATES).filter(isPlanned);
  if (here.length > 0) return here;
  const recent = sources.recent?.(build, RECENT).filter(isPlanned) ?? [];
  return buildsElsewhere(build, recent, sources.text).slice(0, CANDIDATES);
}

/** Whether a build got as far as to know its steps. */
function isPlanned({ dockerfileText, counts }: BuildSummary): boolean {
  return dockerfileText !== undefined && counts !== undefined && counts.steps > 0;
}

/** So much less has to differ from an older build than from the one before. */
const OLDER = 2;
/** A build for another platform or with other flags is compared with only where there is no other one. */
const OTHER_KIND = 1000;

/** How much changed: a file of another mode and content is two changes. */
function weightOf(causes: readonly FoundCause[]): number {
  return causes.reduce((sum, { cause }) => {
    if (cause.kind === 'platform' || cause.kind === 'option') return sum + OTHER_KIND;
    return sum + (cause.kind === 'file' ? Math.max(1, cause.aspects.length) : 1);
  }, 0);
}

/** Whether a step left a result. */
function isComplete(record: StepRecord | undefined): boolean {
  return record?.record !== undefined && record.error === undefined;
}

function recordCause(
  view: BuildView,
  now: StepRecord | undefined,
  past: StepRecord | undefined,
  build: number,
  sources: ExplainSources,
): RecordCause | undefined {
  const [unusable] = now?.unusable ?? [];
  if (unusable !== undefined) {
    const where = unusable.cache === 'local' ? '' : `${cacheName(view, unusable.cache)}: `;
    return { kind: 'record', reason: 'unusable', detail: `${where}${unusable.reason}` };
  }
  if (past?.error !== undefined) return { kind: 'record', reason: 'failed', build, detail: past.error };
  if (past?.outcome === undefined || past.outcome === 'unneeded') {
    if (past?.record === undefined) return { kind: 'record', reason: 'never-built', build };
  }
  const removal = past?.record === undefined ? undefined : sources.removal([past.record]);
  if (removal === undefined) return undefined;
  const { removedAt, rule, size, lastUsedAt } = removal;
  return { kind: 'record', reason: 'pruned', detail: rule, at: removedAt, size, lastUsedAt };
}

/** Why the imports that a build was given did not have a step; undefined when it was given none. */
function importCause(view: BuildView, step: number): RecordCause | undefined {
  const { summary, steps } = view;
  const { sources = [] } = summary;
  const nameOf = (id: string) =>
    sources.find(source => source.id === id)?.isInline ? `the inline cache of ${id}` : cacheName(view, id);
  const [known] = steps[step]?.known ?? [];
  if (known?.what === 'old') return { kind: 'record', reason: 'too-old', detail: nameOf(known.cache) };
  if (known?.what === 'key') return { kind: 'record', reason: 'key-only', detail: nameOf(known.cache) };
  if (known?.what === 'result') return { kind: 'record', reason: 'other-inputs', detail: nameOf(known.cache) };
  if (known?.what === 'lost') {
    return { kind: 'record', reason: 'unusable', detail: `${nameOf(known.cache)}: a layer of it cannot be had` };
  }
  const unreadable = sources.find(({ error }) => error !== undefined);
  if (unreadable) {
    return { kind: 'record', reason: 'unreadable-source', detail: `${nameOf(unreadable.id)}: ${unreadable.error}` };
  }
  if (sources.length === 0) return undefined;
  return { kind: 'record', reason: 'not-exported', detail: sources.map(({ id }) => nameOf(id)).join(', ') };
}

/** That a result was only ever in an import. */
function sourceCause(
  past: StepRecord | undefined,
  { summary }: BuildView,
  pastView: BuildView,
): RecordCause | undefined {
  const isGiven = summary.sources?.some(({ id }) => id === past?.cache) ?? false;
  if (isGiven || past?.outcome !== 'hit' || past.cache === undefined || past.cache === 'local') return undefined;
  return { kind: 'record', reason: 'source-not-given', detail: cacheName(pastView, past.cache) };
}

/** Where a hit came from. */
function fromOf(
  view: BuildView,
  record: StepRecord,
  earlier: readonly BuildView[],
): NonNullable<StepExplanation['from']> {
  const { cache = 'local', createdAt } = record;
  const { newest, exportedAt } = view.summary.sources?.find(({ id }) => id === cache) ?? {};
  const maker = earlier.find(({ steps }) =>
    steps.some(step => step.outcome === 'ran' && step.record !== undefined && step.record === record.record),
  );
  return {
    cache,
    ...(cache === 'local' ? {} : { place: cacheName(view, cache) }),
    ...(newest === undefined ? {} : { newest }),
    ...(exportedAt === undefined ? {} : { exportedAt }),
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(maker === undefined ? {} : { build: maker.summary.number }),
  };
}

/** Fills gaps of one build from others: what a hit did not need to compute was computed when its record was made. */
function comparisonReader(sources: ExplainSources, views: () => readonly BuildView[]): ComparisonReader {
  const parts = new Map<string, readonly KeyPart[] | undefined>();
  let byRecord: Map<string, StepRecord[]> | undefined;
  let byDefinition: Map<string, string> | undefined;

  function recordsOf(record: string): readonly StepRecord[] {
    if (byRecord === undefined) {
      byRecord = new Map();
      for (const step of views().flatMap(({ steps }) => steps)) {
        if (step.record === undefined || step.keys.every(keys => keys?.content === undefined)) continue;
        const known = byRecord.get(step.record);
        if (known === undefined) byRecord.set(step.record, [step]);
        else known.push(step);
      }
    }
    return byRecord.get(record) ?? [];
  }

  function layersOf(definition: string): string | undefined {
    byDefinition ??= new Map(
      views()
        .flatMap(({ steps }) => steps)
        .flatMap(({ definitions: [first, second] }) => (first && second ? [[first, second] as const] : [])),
    );
    return byDefinition.get(definition);
  }

  return {
    parts(digest) {
      if (!parts.has(digest)) {
        const found = sources.parts(digest);
        parts.set(digest, found && shownParts(found));
      }
      return parts.get(digest);
    },
    differingParts(one, other) {
      return sources.differingParts?.(one, other) ?? [this.parts(one) ?? [], this.parts(other) ?? []];
    },
    content(view, step, input) {
      const record = view.steps[step];
      const own = keysOf(record, input).content;
      if (own !== undefined || record === undefined) return own;
      const merged = view.resolve(step);
      if (merged !== step) return this.content(view, merged, input);
      if (record.record === undefined) return undefined;
      for (const other of recordsOf(record.record)) {
        const content = keysOf(other, input).content;
        if (content !== undefined) return content;
      }
      return undefined;
    },
    layers(view, step) {
      const [first, second] = view.steps[step]?.definitions ?? [];
      return second ?? (first === undefined ? undefined : layersOf(first));
    },
    ...(sources.sameContent === undefined ? {} : { sameContent: sources.sameContent }),
  };
}
