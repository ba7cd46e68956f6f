import { writeFile } from 'node:fs/promises';
import { shownSteps } from '../../insight/explain/build-view.ts';
import { stepOutcome } from '../../insight/explain/step-outcome.ts';
import type { BuildSummary, StepRecord } from '../../insight/history/build-record.ts';
import { UsageError } from './errors.ts';
import { findBuild, type OpenHistory, openBuildHistory } from './open-history.ts';
import { matchesStep, stepLabel } from './step-selector.ts';
import { textTable } from './table.ts';
import { formatAge } from './units.ts';
import { formatDuration } from './why-text.ts';

export interface ListFlags {
  readonly limit: string;
  readonly json?: true;
}

export interface LogFlags {
  readonly failed?: true;
}

export interface RemoveFlags {
  readonly all?: true;
}

/** The table of builds, newest first. @param now milliseconds since the epoch @throws UsageError */
export function listBuilds({ limit, json }: ListFlags, root?: string, now: number = Date.now()): string {
  const count = Number(limit);
  if (!Number.isInteger(count) || count < 1) throw new UsageError(`--limit ${limit}: expected a number of builds`);
  using opened = openBuildHistory(root);
  const builds = opened?.history.list({ limit: count }) ?? [];
  if (json) return builds.map(build => `${JSON.stringify(summaryJson(build))}\n`).join('');
  const rows = builds.map(({ number, startedAt, status, duration, counts, context, options }) => [
    String(number),
    `${formatAge(Math.max(0, now - startedAt))} ago`,
    status,
    duration === undefined ? '' : formatDuration(duration),
    counts === undefined ? '' : `${counts.ran} of ${counts.steps}`,
    (options.tags ?? []).join(', '),
    context,
  ]);
  return textTable(['BUILD', 'WHEN', 'STATUS', 'TOOK', 'RAN', 'TAG', 'CONTEXT'], rows);
}

function summaryJson(build: BuildSummary) {
  return { ...build, startedAt: new Date(build.startedAt).toISOString() };
}

/** What is known of a build. @throws UsageError when there is no such build */
export function inspectBuild(name: string | undefined, { json }: { readonly json?: true }, root?: string): string {
  using opened = openedHistory(root);
  const build = findBuild(opened.history, name);
  const steps = opened.history.steps(build.number);
  if (json) return `${JSON.stringify({ ...summaryJson(build), steps }, undefined, 2)}\n`;
  const { view } = opened.explain(build);
  const lines: [string, string][] = [
    ['Build', `${build.number} (${build.id})`],
    ['Started', new Date(build.startedAt).toISOString()],
    ['Status', build.status],
    ...(build.duration === undefined ? [] : [['Took', formatDuration(build.duration)] as [string, string]]),
    ['Context', build.context],
    ['Dockerfile', build.dockerfile],
    ...Object.entries(build.options).map(([option, value]): [string, string] => [option, optionText(value)]),
    ...Object.entries(build.response ?? {})
      .filter(([key]) => key.endsWith('digest'))
      .map(([key, value]): [string, string] => [key, value]),
    ...(build.error === undefined ? [] : [['Error', build.error] as [string, string]]),
  ];
  const rows = shownSteps(view).flatMap(index => {
    const step = steps[index];
    return step === undefined ? [] : [stepRow(step)];
  });
  const width = Math.max(...lines.map(([title]) => title.length)) + 3;
  const head = lines.map(([title, value]) => `${`${title}:`.padEnd(width)}${value}\n`).join('');
  return `${head}\n${textTable(['STAGE', 'STEP', 'HOW', 'TOOK', 'TEXT'], rows)}`;
}

function stepRow(step: StepRecord): string[] {
  const { stage, number, text } = stepLabel(step);
  const how = stepOutcome(step);
  const isWork = how === 'ran' || how === 'failed' || how === 'cancelled';
  const took = isWork ? formatDuration(step.duration ?? 0) : '';
  return [stage, number, how, took, text.split('\n')[0] ?? ''];
}

function optionText(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([key, one]) => `${key}=${one}`)
    .join(', ');
}

/** What steps printed. @throws UsageError when there is no such build or step */
export function printLogs(name: string | undefined, word: string | undefined, flags: LogFlags, root?: string): string {
  using opened = openedHistory(root);
  const build = findBuild(opened.history, name);
  let text = '';
  for (const [index, step] of opened.history.steps(build.number).entries()) {
    if (word !== undefined && (step.places.length === 0 || !matchesStep(step, word))) continue;
    if (flags.failed && step.error === undefined) continue;
    const data = opened.history.log(build.number, index);
    if (data === undefined) continue;
    const cut = (step.logBytes ?? 0) - data.length;
    text += `${step.name}\n${cut > 0 ? `… ${cut} bytes before\n` : ''}${Buffer.from(data)}`;
    text += `${text.endsWith('\n') ? '' : '\n'}${step.error === undefined ? '' : `ERROR: ${step.error}\n`}\n`;
  }
  if (text === '' && word !== undefined) {
    throw new UsageError(`build ${build.number} has no output of a step ${JSON.stringify(word)}`);
  }
  return text;
}

/** Everything that is kept of a build, and what went into its keys. @throws UsageError */
export async function exportBuild(
  name: string | undefined,
  { output }: { readonly output?: string },
  root?: string,
): Promise<string> {
  using opened = openedHistory(root);
  const { history, sources } = opened;
  const build = findBuild(history, name);
  const steps = history.steps(build.number);
  const digests = new Set(
    steps.flatMap(({ definitions, keys }) => [
      ...definitions,
      ...keys.flatMap(one => [one?.selector, one?.content].filter(digest => digest !== undefined)),
    ]),
  );
  const parts = Object.fromEntries([...digests].map(digest => [digest, sources.parts(digest) ?? []]));
  const logs = Object.fromEntries(
    steps.flatMap(({ digest, logBytes }, index) => {
      const data = logBytes === undefined ? undefined : history.log(build.number, index);
      return data === undefined ? [] : [[digest, Buffer.from(data).toString()]];
    }),
  );
  const dockerfile = build.dockerfileText === undefined ? undefined : history.text(build.dockerfileText);
  const all = {
    schema: 'outcrop.build/1',
    ...summaryJson(build),
    dockerfile: { path: build.dockerfile, text: dockerfile },
    steps,
    parts,
    logs,
  };
  const json = `${JSON.stringify(all, undefined, 2)}\n`;
  if (output === undefined || output === '-') return json;
  await writeFile(output, json);
  return '';
}

/** Forgets builds. @throws UsageError when none is named, or one that there is not */
export function removeBuilds(names: readonly string[], { all }: RemoveFlags, root?: string): string {
  if (names.length === 0 && !all) throw new UsageError('name the builds to forget, or give --all');
  using opened = openedHistory(root);
  const { history } = opened;
  const builds = all ? history.list() : names.map(name => findBuild(history, name));
  history.remove(builds.map(({ number }) => number));
  return builds.map(({ number }) => `${number}\n`).join('');
}

function openedHistory(root: string | undefined): OpenHistory {
  const opened = openBuildHistory(root);
  if (opened === undefined) throw new UsageError('nothing was built on this machine yet');
  return opened;
}
