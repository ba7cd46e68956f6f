import { lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openRemovalLog } from '../../engine/cache/removals.ts';
import { type SqliteKeyStore, sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import { outcropRoot } from '../../host/config/paths.ts';
import type { CatalogueContext } from '../../insight/explain/catalogue.ts';
import { contextContentCheck } from '../../insight/explain/content-check.ts';
import {
  type BuildExplanation,
  type ExplainSources,
  explainBuild,
  type StepExplanation,
} from '../../insight/explain/explain-build.ts';
import { filesTouched } from '../../insight/explain/touched-files.ts';
import type { BuildSummary, StepRecord } from '../../insight/history/build-record.ts';
import { type History, openHistory } from '../../insight/history/history-store.ts';
import {
  secretArguments,
  shownOptions,
  shownParts,
  shownStep,
  shownText,
} from '../../insight/history/secret-values.ts';
import type { Database } from '../../store/database.ts';
import { formatReference, ImageReferenceError, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import { UsageError } from './errors.ts';
import { type OpenImages, openImages } from './open-stores.ts';

/** The builds of a root, and what explains them. */
export interface OpenHistory extends Disposable {
  readonly history: History;
  readonly sources: ExplainSources;
  /** Explains a build. */
  explain(build: BuildSummary, against?: BuildSummary): BuildExplanation;
  /** What the catalogue needs to know of it. @param now milliseconds since the epoch */
  catalogue(explanation: BuildExplanation, now: number): CatalogueContext;
  /** A text of a build without the values of its secret arguments. */
  shown(text: string, build: BuildSummary): string;
}

/**
 * Opens the history of `$OUTCROP_ROOT`; undefined where nothing was ever built.
 * @throws DatabaseError
 */
export function openBuildHistory(root: string = outcropRoot()): OpenHistory | undefined {
  const images: OpenImages | undefined = openImages(root);
  if (images === undefined) return undefined;
  const keys = sqliteKeyStore(images.database);
  const recorded = openHistory(images.database);
  const history = shownHistory(recorded, keys);
  const sources = explainSources(images.database, keys, history);
  return {
    history,
    sources,
    explain: (build, against) => explainBuild(build, withContext(sources, history, build), against),
    catalogue: (explanation, now) => ({
      explanation,
      parts: sources.parts,
      now,
      touched: touchedBy(explanation, history, sources),
      links: step => linksRead(step, explanation, sources),
    }),
    shown: (text, { number }) => shownText(text, secretsOf(recorded.find(number))),
    [Symbol.dispose]: () => images[Symbol.dispose](),
  };
}

/** A history that does not tell the values of secret variables. What steps printed stays as it is. */
function shownHistory(history: History, keys: SqliteKeyStore): History {
  const shown = (build: BuildSummary): BuildSummary => ({
    ...build,
    options: shownOptions(build.options),
    ...(build.error === undefined ? {} : { error: shownText(build.error, secretsOf(build)) }),
  });
  const some = (build: BuildSummary | undefined) => build && shown(build);
  return {
    ...history,
    list: options => history.list(options).map(shown),
    find: name => some(history.find(name)),
    latestOfProcess: () => some(history.latestOfProcess()),
    steps(number) {
      const secrets = secretsOf(history.find(number));
      return history.steps(number).map(step => shownStep(step, secrets, digest => keys.parts(digest)));
    },
  };
}

function secretsOf(build: BuildSummary | undefined) {
  return build === undefined ? [] : secretArguments(build.options);
}

/** The files that were touched between the build before and the newest one, by the steps that read them. */
function touchedBy(
  { build, view }: BuildExplanation,
  history: History,
  { parts }: ExplainSources,
): (step: StepExplanation) => readonly string[] {
  const [newest, before] = history.list({ project: build, limit: 2 });
  if (newest?.number !== build.number || before === undefined || !isDirectory(build.context)) return () => [];
  const ended = before.startedAt + (before.duration ?? 0);
  let touched: readonly string[] | undefined;
  return ({ record }) => {
    const input = record.inputs.findIndex(index => isContext(view.steps[index], parts));
    const { selector = '', content = '' } = record.keys[input] ?? {};
    const files = parts(content);
    if (files === undefined) return [];
    touched ??= filesTouched(build.context, ended, build.startedAt);
    const read = new Set(files.map(({ name }) => name.replace(/^\//, '')));
    const isWhole = parts(selector)?.some(({ name }) => name === '/') ?? false;
    return touched.flatMap(path => (read.has(path) ? [path] : isWhole ? [`${path} (ignored)`] : []));
  };
}

/** The links at the top of the context that a step which reads all of it got the targets of. */
function linksRead(
  { record }: StepExplanation,
  { build, view }: BuildExplanation,
  { parts }: ExplainSources,
): string[] {
  const input = record.inputs.findIndex(index => isContext(view.steps[index], parts));
  const { content = '' } = record.keys[input] ?? {};
  return (parts(content) ?? []).flatMap(({ kind, name }) => {
    const path = name.replace(/^\//, '');
    if (kind === 'symlink' || path === '' || path.includes('/')) return [];
    return lstatSync(join(build.context, path), { throwIfNoEntry: false })?.isSymbolicLink() ? [path] : [];
  });
}

function isContext(step: StepRecord | undefined, parts: ExplainSources['parts']): boolean {
  const own = parts(step?.definitions[0] ?? '') ?? [];
  return own.some(({ kind, name }) => kind === 'local' && name === 'context');
}

function explainSources(database: Database, keys: SqliteKeyStore, history: History): ExplainSources {
  let removals: ReturnType<typeof openRemovalLog> | undefined;
  return {
    steps: number => history.steps(number),
    text: digest => history.text(digest),
    parts(digest) {
      const parts = keys.parts(digest);
      return parts && shownParts(parts);
    },
    differingParts: (one, other) => keys.differingParts(one, other),
    earlier: (build, limit) => history.list({ project: build, before: build.number, limit }),
    recent: ({ number }, limit) => history.list({ before: number, limit }),
    removal(names) {
      removals ??= openRemovalLog(database);
      return removals.find(names);
    },
  };
}

/** The files of the context tell more of the newest build that read them. */
function withContext(sources: ExplainSources, history: History, build: BuildSummary): ExplainSources {
  const [newest] = history.list({ project: build, limit: 1 });
  if (newest?.number !== build.number || !isDirectory(build.context)) return sources;
  return { ...sources, sameContent: contextContentCheck(build.context) };
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * The build that a person names: by number, by the beginning of its id, by the image that it made, or the newest one.
 * @param history undefined where nothing was ever built @throws UsageError when there is none
 */
export function findBuild(history: History | undefined, name: string | undefined): BuildSummary {
  const found =
    name === undefined || name === 'latest'
      ? history?.list({ limit: 1 })[0]
      : (history?.find(name) ?? (history && latestOfImage(history, name)));
  if (found !== undefined) return found;
  throw new UsageError(
    name === undefined
      ? 'there is no build in the history yet'
      : `there is no build ${name} in the history: outcrop history ls lists them`,
  );
}

/** The newest build that made an image, by its name or its digest. */
function latestOfImage(history: History, name: string): BuildSummary | undefined {
  const wanted = imageName(name);
  return history
    .list()
    .find(
      ({ options, response = {} }) =>
        options.tags?.some(tag => wanted !== undefined && imageName(tag) === wanted) ||
        response['containerimage.digest'] === name,
    );
}

function imageName(text: string): string | undefined {
  try {
    return formatReference(withDefaultTag(parseReference(text)));
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}
