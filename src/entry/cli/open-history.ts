import { statSync } from 'node:fs';
import { openRemovalLog } from '../../engine/cache/removals.ts';
import { sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import { outcropRoot } from '../../host/config/paths.ts';
import { contextContentCheck } from '../../insight/explain/content-check.ts';
import { type BuildExplanation, type ExplainSources, explainBuild } from '../../insight/explain/explain-build.ts';
import type { BuildSummary } from '../../insight/history/build-record.ts';
import { type History, openHistory } from '../../insight/history/history-store.ts';
import type { Database } from '../../store/database.ts';
import { UsageError } from './errors.ts';
import { type OpenImages, openImages } from './open-stores.ts';

/** The builds of a root, and what explains them. */
export interface OpenHistory extends Disposable {
  readonly history: History;
  readonly sources: ExplainSources;
  /** Explains a build. */
  explain(build: BuildSummary, against?: BuildSummary): BuildExplanation;
}

/**
 * Opens the history of `$OUTCROP_ROOT`; undefined where nothing was ever built.
 * @throws DatabaseError
 */
export function openBuildHistory(root: string = outcropRoot()): OpenHistory | undefined {
  const images: OpenImages | undefined = openImages(root);
  if (images === undefined) return undefined;
  const history = openHistory(images.database);
  const sources = explainSources(images.database, history);
  return {
    history,
    sources,
    explain: (build, against) => explainBuild(build, withContext(sources, history, build), against),
    [Symbol.dispose]: () => images[Symbol.dispose](),
  };
}

function explainSources(database: Database, history: History): ExplainSources {
  const keys = sqliteKeyStore(database);
  let removals: ReturnType<typeof openRemovalLog> | undefined;
  return {
    steps: number => history.steps(number),
    text: digest => history.text(digest),
    parts: digest => keys.parts(digest),
    earlier: (build, limit) => history.list({ project: build, before: build.number, limit }),
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
 * The build that a person names: by number, by the beginning of its id, or the newest one.
 * @throws UsageError when there is none.
 */
export function findBuild(history: History, name: string | undefined): BuildSummary {
  const found = name === undefined || name === 'latest' ? history.list({ limit: 1 })[0] : history.find(name);
  if (found !== undefined) return found;
  throw new UsageError(
    name === undefined
      ? 'there is no build in the history yet'
      : `there is no build ${name} in the history: outcrop history ls lists them`,
  );
}
