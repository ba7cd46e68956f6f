import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sqliteKeyStore } from '../../engine/cache/sqlite-key-store.ts';
import { redactUrl } from '../../engine/source/source-key.ts';
import type { EventSink } from '../../engine/status/event.ts';
import type { BuildEnd, BuildOptions, BuildStart } from '../../insight/history/build-record.ts';
import { openHistory, type RunningBuild } from '../../insight/history/history-store.ts';
import { buildRecorder } from '../../insight/history/recorder.ts';
import type { Engine } from './engine.ts';
import type { BuildRequest, BuildResult, CacheRequest } from './request.ts';

/** Builds that take longer are listed while they run, in milliseconds. */
const LISTED_AFTER = 1000;

/**
 * Runs a build and keeps what happened in the history of its root. `start` tells what it is, given when it began in
 * milliseconds since the epoch; it is asked at the end, or earlier for a build that takes long. That the history cannot be written is no reason for a
 * build to fail: it is said in a warning of the process.
 */
export async function recordBuild(
  engine: Pick<Engine, 'database' | 'now'>,
  start: (startedAt: number) => BuildStart,
  emit: EventSink,
  signal: AbortSignal,
  run: (emit: EventSink) => Promise<BuildResult>,
): Promise<BuildResult> {
  const startedAt = engine.now();
  const recorder = buildRecorder(startedAt);
  let running: RunningBuild | undefined;
  const begin = () => {
    running ??= openHistory(engine.database).begin(start(Number(startedAt / 1_000_000n)));
    return running;
  };
  // A long build is listed while it runs; of a short one the end is enough, which is one write less.
  const timer = setTimeout(() => guarded(begin), LISTED_AFTER).unref();
  const finish = (status: BuildEnd['status'], rest: Partial<BuildEnd>) => {
    const { steps, logs, counts, dockerfile, sources, parts } = recorder.record();
    const duration = Number((engine.now() - startedAt) / 1000n) / 1000;
    engine.database.transaction(() => {
      const { saveParts } = sqliteKeyStore(engine.database);
      for (const [digest, list] of parts) saveParts(digest, list);
      const text = dockerfile && openHistory(engine.database).saveText(dockerfile);
      const end = {
        ...rest,
        status,
        duration,
        counts,
        ...(text === undefined ? {} : { dockerfileText: text }),
        ...some('sources', sources),
      };
      begin().finish(end, steps, logs);
    });
  };
  try {
    const result = await run(event => {
      recorder.sink(event);
      emit(event);
    });
    guarded(() => finish('done', { response: result.response }));
    return result;
  } catch (error) {
    guarded(() => (signal.aborted ? finish('cancelled', {}) : finish('failed', { error: textOf(error) })));
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function guarded(write: () => unknown): void {
  try {
    write();
  } catch (error) {
    process.emitWarning(`this build is not in the history: ${textOf(error)}`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What is kept of a request. Values of secrets are not in it; credentials in URLs and in attributes are left out. */
export function buildStart(request: BuildRequest, startedAt: number): BuildStart {
  const { context } = request;
  return {
    id: randomBytes(8).toString('hex'),
    startedAt,
    context: context.kind === 'directory' ? context.dir : context.kind === 'remote' ? redactUrl(context.url) : '-',
    dockerfile: dockerfileOf(request),
    options: optionsOf(request),
  };
}

function dockerfileOf({ dockerfile }: BuildRequest): string {
  if (dockerfile.kind === 'text') return '-';
  return dockerfile.kind === 'file' ? join(dockerfile.dir, dockerfile.filename) : dockerfile.filename;
}

function optionsOf(request: BuildRequest): BuildOptions {
  const { target, noCache, network } = request;
  return {
    ...(target === undefined ? {} : { target }),
    ...some('buildArgs', Object.fromEntries([...request.buildArgs].map(([name, value]) => [name, redactUrl(value)]))),
    ...some('labels', Object.fromEntries(request.labels)),
    ...some('platforms', request.platforms),
    ...some('tags', request.tags),
    ...some(
      'outputs',
      request.outputs.map(({ type, dest }) => (dest === undefined ? type : `${type} ${dest}`)),
    ),
    ...(noCache === 'all' || noCache.length > 0 ? { noCache } : {}),
    ...(request.pull ? { pull: true } : {}),
    ...(request.coldMounts ? { coldMounts: true } : {}),
    ...(network === undefined ? {} : { network }),
    ...some('addHosts', request.addHosts),
    ...some(
      'namedContexts',
      Object.fromEntries([...request.namedContexts].map(([name, value]) => [name, redactUrl(value)])),
    ),
    ...some(
      'secrets',
      request.secrets.map(({ id }) => id),
    ),
    ...some(
      'ssh',
      request.ssh.map(({ id }) => id),
    ),
    ...some('cacheFrom', request.cacheFrom.map(cacheText)),
    ...some('cacheTo', request.cacheTo.map(cacheText)),
  };
}

/** A member that is left out when it is empty. */
export function some<Name extends string, Value extends object>(name: Name, value: Value): { [Key in Name]?: Value } {
  return Object.keys(value).length === 0 ? {} : ({ [name]: value } as { [Key in Name]?: Value });
}

const CREDENTIAL = /secret|token|password|key|credential/i;

export function cacheText({ type, attributes }: CacheRequest): string {
  const members = Object.entries(attributes).filter(([name]) => !CREDENTIAL.test(name));
  return [`type=${type}`, ...members.map(([name, value]) => `${name}=${redactUrl(value)}`)].join(',');
}
