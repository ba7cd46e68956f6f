/** What `outcrop why` prints. */
import { isLink } from '../../insight/explain/build-view.ts';
import { type CatalogueContext, surprisesAt } from '../../insight/explain/catalogue.ts';
import type { FileCause } from '../../insight/explain/cause.ts';
import type { FoundCause } from '../../insight/explain/compare-steps.ts';
import { cureOf } from '../../insight/explain/cures.ts';
import type { BuildExplanation, StepExplanation } from '../../insight/explain/explain-build.ts';
import { causeText, causeWords, shortDigest } from '../../insight/explain/words.ts';
import type { BuildSummary } from '../../insight/history/build-record.ts';
import { stepLabel } from './step-selector.ts';
import { formatAge } from './units.ts';

/** Files of one step that are named before the rest is only counted. */
const FILES = 8;

/** A time as a person says it: `3.2 s`, `1 min 5 s`. */
export function formatDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function ago(time: number, now: number): string {
  const age = formatAge(Math.max(0, now - time));
  return `${age.charAt(0).toLowerCase()}${age.slice(1)} ago`;
}

/** A build in a few words: `build 41 (2 minutes ago)`. */
function buildWords({ number, startedAt }: BuildSummary, now: number): string {
  return `build ${number} (${ago(startedAt, now)})`;
}

interface Columns {
  readonly stage: number;
  readonly number: number;
  readonly text: number;
}

const WIDEST_TEXT = 44;

function columnsOf(steps: readonly StepExplanation[]): Columns {
  const labels = steps.map(({ record }) => stepLabel(record));
  const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(text => text.length));
  return {
    stage: widest(labels.map(({ stage }) => stage)),
    number: widest(labels.map(({ number }) => number)),
    text: Math.min(WIDEST_TEXT, widest(labels.map(({ text }) => text))),
  };
}

function labelText(step: StepExplanation, { stage, number, text }: Columns): string {
  const label = stepLabel(step.record);
  const cut = label.text.length > text ? `${label.text.slice(0, text - 1)}…` : label.text;
  const words = [label.stage.padEnd(stage), label.number.padStart(number), cut.padEnd(text)];
  return words.filter(word => word !== '').join('  ');
}

/** A build: each step with how it ended and why, one line each. */
export function buildText(context: CatalogueContext, steps: readonly StepExplanation[]): string {
  const { explanation, now } = context;
  const { build } = explanation;
  const columns = columnsOf(steps);
  const outcomes = steps.map(outcomeText);
  const widest = Math.max(0, ...outcomes.map(text => text.length));
  const lines = steps.map((step, index) =>
    `  ${labelText(step, columns)}  ${outcomes[index]?.padEnd(widest)}  ${reasonText(step, context)}`.trimEnd(),
  );
  const { counts, status, duration } = build;
  if (status === 'running' || steps.length === 0) return `${buildWords(build, now)}, ${withoutSteps(build)}\n`;
  const ran = counts === undefined ? '' : `${counts.ran} of ${counts.steps} steps ran, `;
  const against = new Set(steps.flatMap(step => step.against ?? []));
  const compared =
    against.size === 0
      ? ''
      : `; compared with build ${[...against].sort((a, b) => b - a).join(', ')}${placeOf(Math.max(...against), explanation)}`;
  return [
    `${buildWords(build, now)}, ${status}: ${ran}${formatDuration(duration ?? 0)}${compared}`,
    '',
    ...lines,
    ...casesOf(steps, context),
    '',
  ].join('\n');
}

/** Why there is nothing to tell of the steps of a build. */
function withoutSteps({ status, error }: BuildSummary): string {
  switch (status) {
    case 'running':
      return 'running: what its steps did is known when it has ended';
    case 'interrupted':
      return 'interrupted: its process was ended before it could keep what its steps did';
    case 'done':
      return 'done: it had no steps';
    default:
      return `${status} before it had any steps${error === undefined ? '' : `: ${error.split('\n', 1)[0]}`}`;
  }
}

/** The cases of the catalogue that are there, each with the first step that it is about. */
function casesOf(steps: readonly StepExplanation[], context: CatalogueContext): string[] {
  const found = steps.flatMap(step => surprisesAt(step, context).map(surprise => ({ step, surprise })));
  const lines = [...Map.groupBy(found, ({ surprise }) => surprise.id)].flatMap(([id, [first, ...others]]) => {
    if (first === undefined) return [];
    const { stage, number } = stepLabel(first.step.record);
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return [
      `  ${id} at ${[stage, number].filter(word => word !== '').join(' ')}${more}: ${shortDigest(first.surprise.text)}`,
      `    ${cureOf(id)}   (docs/surprises/${id}.md)`,
    ];
  });
  return lines.length === 0 ? [] : ['', ...lines];
}

/** Where a build was made, if that is not where the explained one was. */
function placeOf(number: number, { build, comparison }: BuildExplanation): string {
  const past = comparison(number)?.past.summary;
  if (past === undefined || (past.context === build.context && past.dockerfile === build.dockerfile)) return '';
  return past.context === build.context ? ` of ${past.dockerfile}` : ` of ${past.context}`;
}

/** What a build would do with a step; `maybe`: a hit if what it reads comes out as before. */
export type PlanOutcome = 'hit' | 'run' | 'maybe' | 'not needed';

/** What a build would do: each step in one line. */
export function planText(
  context: CatalogueContext,
  steps: readonly StepExplanation[],
  outcomeOf: (step: StepExplanation) => PlanOutcome,
): string {
  const columns = columnsOf(steps);
  const outcomes = steps.map(outcomeOf);
  const lines = steps.map((step, index) => {
    const outcome = outcomes[index] ?? 'run';
    const why = outcome === 'not needed' ? 'it stands below a hit' : reasonText(step, context);
    const reason = outcome === 'maybe' ? `a hit if what it reads comes out as before; ${why}` : why;
    return `  ${labelText(step, columns)}  ${outcome.padEnd(10)}  ${reason}`.trimEnd();
  });
  const count = (outcome: PlanOutcome) => outcomes.filter(one => one === outcome).length;
  const [run, maybe] = [count('run'), count('maybe')];
  const hit = steps.length - run - maybe;
  const unsure = maybe === 0 ? '' : `, ${maybe} may run`;
  return [`${steps.length} steps: ${run} would run${unsure}, ${hit} would not`, '', ...lines, ''].join('\n');
}

function outcomeText({ outcome, duration }: StepExplanation): string {
  return duration === undefined ? outcome : `${outcome} ${formatDuration(duration)}`;
}

/** Why a step ended as it did, in one line. */
export function reasonText(step: StepExplanation, context: CatalogueContext): string {
  const { view } = context.explanation;
  const nameOf = (index: number | undefined) => {
    const record = view.steps[index ?? -1];
    return record === undefined ? '' : stepLabel(record).text;
  };
  if (step.outcome === 'shared') return `one run serves it and ${nameOf(step.sharedWith)}`;
  if (step.from !== undefined) {
    const { cache, place = cache, build, createdAt, exportedAt } = step.from;
    const exported = exportedAt === undefined ? '' : ` (exported ${ago(exportedAt, context.now)})`;
    const where = cache === 'local' ? '' : `from ${place}${exported}`;
    const made = build === undefined ? (createdAt ? `made ${ago(createdAt, context.now)}` : '') : `by build ${build}`;
    return [where, made].filter(word => word !== '').join(', ');
  }
  const own = step.causes.filter(({ path }) => path.length === 1);
  const [first] = own;
  if (first !== undefined) {
    const more = own.length > 1 ? `, and ${own.length - 1} more` : '';
    return `${shortCause(first)}${more}`;
  }
  const [chained] = step.causes;
  if (step.outcome === 'failed' && chained === undefined) return step.record.error?.split('\n', 1)[0] ?? '';
  return chained === undefined ? '' : `follows ${nameOf(step.through[0]?.step ?? chained.path[1])}`;
}

function shortCause({ cause }: FoundCause): string {
  if (cause.kind === 'file' && cause.change === 'changed') {
    return `${cause.path} ${cause.aspects[0] === 'content' ? 'changed' : `${cause.aspects.join(' and ')} changed`}`;
  }
  return causeText(cause);
}

/** A step in full: the causes as a tree, down to the first. */
export function stepText(step: StepExplanation, context: CatalogueContext): string {
  const { explanation, now } = context;
  const { build } = explanation;
  const lines = [`${labelText(step, columnsOf([step]))}   ${outcomeText(step)}, ${buildWords(build, now)}`, ''];
  if (step.causes.length > 0) lines.push(...causeTree(step, explanation), '');
  else if (step.outcome !== 'failed') {
    const reason = reasonText(step, context);
    if (reason !== '') lines.push(`  ${reason}`, '');
  }
  if (step.outcome === 'failed') lines.push(...failure(step, build.number));
  const same = sameParts(step, context);
  if (same !== '') lines.push(`  ${same}`, '');
  for (const { id, text } of surprisesAt(step, context))
    lines.push(`  ${id}: ${shortDigest(text)}`, `    ${cureOf(id)}`, `    docs/surprises/${id}.md`, '');
  return lines.join('\n');
}

/** The error of a step, and where its output is. */
function failure({ record }: StepExplanation, build: number): string[] {
  const { stage, number } = stepLabel(record);
  const name = [stage, number.split('/')[0]].filter(word => word !== '').join('/');
  return [
    `  it failed: ${record.error?.split('\n', 1)[0] ?? ''}`,
    ...(record.logBytes ? [`    what it printed: outcrop history logs ${build} ${name}`] : []),
    '',
  ];
}

/** Causes below the steps that they came in by. */
function causeTree(step: StepExplanation, { view }: BuildExplanation): string[] {
  const own = step.causes.filter(({ path }) => path.length === 1);
  const deeper = step.causes.filter(({ path }) => path.length > 1);
  const lines: string[] = [];
  if (own.length > 0) {
    if (own.some(({ cause }) => cause.kind !== 'record')) lines.push('  it differs:');
    lines.push(...listOf(own).map(line => `  ${line}`));
  }
  if (deeper.length === 0) return lines;
  lines.push('  its input changed:');
  const byPath = Map.groupBy(deeper, ({ path }) => path.slice(1).join(' '));
  for (const found of byPath.values()) {
    let indent = '  ';
    for (const index of found[0]?.path.slice(1) ?? []) {
      const record = view.steps[index];
      // A linked copy is two vertices and one step.
      if (record === undefined || isLink(record)) continue;
      const { stage, number, text } = stepLabel(record);
      lines.push(`${indent}└─ ${[stage, number, text].filter(word => word !== '').join('  ')}`);
      indent += '   ';
    }
    lines.push(...listOf(found).map(line => `${indent}${line}`));
  }
  const evidence = step.through.flatMap(({ files }) => files ?? []);
  if (evidence.length > 0)
    lines.push('  what it reads of it came out differently:', ...filesList(evidence).map(line => `  ${line}`));
  return lines;
}

function filesList(files: readonly FileCause[]): string[] {
  return listOf(files.map(cause => ({ cause, path: [] })));
}

function listOf(causes: readonly FoundCause[]): string[] {
  const shown = causes.slice(0, FILES).map(({ cause }) => causeWords(cause));
  const width = Math.max(...shown.map(([subject]) => subject.length));
  const lines = shown.map(([subject, what]) => `└─ ${subject === '' ? what : `${subject.padEnd(width)}   ${what}`}`);
  return causes.length > FILES ? [...lines, `└─ and ${causes.length - FILES} more`] : lines;
}

/** What of a step's own key is as it was. */
function sameParts(step: StepExplanation, { explanation, parts }: CatalogueContext): string {
  const { against } = step;
  if (against === undefined || step.causes.length === 0) return '';
  const own = new Set(step.causes.filter(({ path }) => path.length === 1).map(({ cause }) => cause.kind));
  const known = parts(step.record.definitions[0] ?? '') ?? [];
  const variables = known.filter(({ kind }) => kind === 'env').length;
  const platform = known.find(({ kind }) => kind === 'platform')?.value;
  const words: string[] = [];
  const isRun = known.some(({ kind }) => kind === 'args');
  if (!own.has('instruction') && !own.has('part')) words.push(isRun ? 'command' : 'instruction');
  if (isRun && !own.has('variable'))
    words.push(`environment (${variables} ${variables === 1 ? 'variable' : 'variables'})`);
  if (platform !== undefined && !own.has('platform')) words.push(`platform ${platform}`);
  const files = step.record.keys.flatMap(keys => (keys?.content === undefined ? [] : (parts(keys.content) ?? [])));
  const changed = step.causes.filter(({ cause, path }) => cause.kind === 'file' && path.length === 1).length;
  const others = files.filter(({ kind }) => kind === 'file').length - changed;
  if (changed > 0 && others > 0) words.push(`${others} other ${others === 1 ? 'file' : 'files'}`);
  return words.length === 0 ? '' : `same as in build ${against}${placeOf(against, explanation)}: ${words.join(', ')}`;
}
