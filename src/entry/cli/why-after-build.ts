import { appendFile, writeFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { type CatalogueContext, SURPRISE_IDS, surprisesAt } from '../../insight/explain/catalogue.ts';
import { shortDigest } from '../../insight/explain/words.ts';
import type { StepRecord } from '../../insight/history/build-record.ts';
import type { BuildFlags } from './build-request.ts';
import { didYouMean, UsageError } from './errors.ts';
import { openBuildHistory } from './open-history.ts';
import { explanationJson } from './why-json.ts';
import { explanationMarkdown } from './why-markdown.ts';
import { buildText } from './why-text.ts';

/** What `outcrop build` is asked to say of itself. */
interface WhyRequest {
  /** Print why each step was cached or ran. */
  readonly print: boolean;
  /** A file for the same: Markdown if it is named `.md`, else JSON. */
  readonly file: string | undefined;
  /** Cases of the catalogue that make the build fail. */
  readonly failOn: readonly string[];
}

/** The exit code of a build that succeeded and ran into something that it should fail on. */
const SURPRISED = 3;

/**
 * Reads the flags.
 * @throws UsageError for an id that is not in the catalogue
 */
export function whyRequest(flags: Pick<BuildFlags, 'why' | 'whyFile' | 'failOn'>): WhyRequest {
  const failOn = (flags.failOn ?? []).flatMap(list => list.split(',')).filter(id => id !== '');
  for (const id of failOn) {
    if (!SURPRISE_IDS.some(known => known === id))
      throw new UsageError(`--fail-on ${id}: is not in the catalogue${didYouMean(id, SURPRISE_IDS)}`);
  }
  return { print: flags.why ?? false, file: flags.whyFile, failOn };
}

/**
 * Explains the build that this process has just made: to standard error, to a file, and where GitHub runs it to its summary
 * and as annotations. @returns the exit code: 3 when something is there that the build should fail on, else 0
 */
export async function explainOwnBuild(request: WhyRequest, environment: NodeJS.ProcessEnv): Promise<number> {
  using opened = openBuildHistory();
  const build = opened?.history.latestOfProcess();
  if (opened === undefined || build === undefined) return 0;
  const explanation = opened.explain(build);
  const context = opened.catalogue(explanation, Date.now());
  const { steps } = explanation;
  const { file, print, failOn } = request;
  if (print) process.stderr.write(`\n${buildText(context, steps)}`);
  if (file !== undefined) {
    const json = () => `${JSON.stringify(explanationJson(context, steps), undefined, 2)}\n`;
    await writeFile(file, file.endsWith('.md') ? explanationMarkdown(context, steps) : json());
  }
  const summary = environment['GITHUB_STEP_SUMMARY'];
  if (summary) await appendFile(summary, explanationMarkdown(context, steps));
  if (environment['GITHUB_ACTIONS'] === 'true') process.stdout.write(annotations(context));
  const found = steps.flatMap(step => surprisesAt(step, context)).filter(({ id }) => failOn.includes(id));
  for (const { id, text } of found) process.stderr.write(`ERROR: ${id}: ${shortDigest(text)} (--fail-on ${id})\n`);
  return found.length > 0 ? SURPRISED : 0;
}

/** Cases that people do not expect; the others are told when somebody asks. */
const UNEXPECTED: ReadonlySet<string> = new Set([
  'base-drift',
  'exclude-follows-links',
  'hit-then-fail',
  'inline-min',
  'lazy-forgotten',
  'mode-min',
  'not-exported',
  'platform-split',
  'pruned',
  'stale-import',
]);

/** Lines that are told of each build, a line each. */
const MOST_LINES = 5;
/** Characters of a step's name in them. */
const LONGEST_NAME = 60;

/**
 * Says of the build that this process has just made what nobody would expect of it, if there is anything. A history that
 * cannot be read makes no build fail.
 */
export function tellUnexpected(): void {
  try {
    process.stderr.write(unexpectedText());
  } catch (error) {
    process.emitWarning(`the history cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function unexpectedText(): string {
  using opened = openBuildHistory();
  const build = opened?.history.latestOfProcess();
  if (opened === undefined || build === undefined) return '';
  const context = opened.catalogue(opened.explain(build), Date.now());
  const lines = new Map<string, StepRecord[]>();
  for (const step of context.explanation.steps) {
    for (const { id, text } of surprisesAt(step, context)) {
      if (!UNEXPECTED.has(id)) continue;
      const line = `${id}: ${shortDigest(text)}`;
      lines.set(line, [...(lines.get(line) ?? []), step.record]);
    }
  }
  if (lines.size === 0) return '';
  const shown = [...lines]
    .slice(0, MOST_LINES)
    .map(([line, records]) => ` - ${stepsText(records)}: ${line}\n`)
    .join('');
  const more = lines.size > MOST_LINES ? ` - and ${lines.size - MOST_LINES} more\n` : '';
  return `\nnot as expected (outcrop why tells more):\n${shown}${more}`;
}

/** Steps that the same is said of: the first by name, the others counted. */
function stepsText([first, ...others]: readonly StepRecord[]): string {
  const name = shortDigest(first?.name.split('\n')[0] ?? '');
  const cut = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
  return others.length === 0 ? cut : `${cut} and ${others.length} more ${others.length === 1 ? 'step' : 'steps'}`;
}

/** Surprises as GitHub shows them at the lines of the Dockerfile. */
function annotations(context: CatalogueContext): string {
  const { steps, build } = context.explanation;
  const path = relative(process.cwd(), build.dockerfile);
  return steps
    .flatMap(step =>
      surprisesAt(step, context).map(surprise => ({ ...surprise, line: step.record.places[0]?.line ?? 1 })),
    )
    .map(({ id, text, line }) => `::notice file=${path},line=${line},title=${id}::${escaped(shortDigest(text))}\n`)
    .join('');
}

function escaped(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}
