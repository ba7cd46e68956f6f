import { openBuildCaches } from '../../engine/cache/remote/build-caches.ts';
import { retryWithoutLostLayers } from '../../engine/cache/remote/lost-layer.ts';
import { createExportProgress } from '../../engine/exporter/export-progress.ts';
import { createExporter, type ExportContext, type Exporter } from '../../engine/exporter/exporter.ts';
import { unlessAborted } from '../../engine/solver/flight.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import type { SolveRequest } from '../../wire/proto/gen/control/control_pb.ts';
import { finalizeExport, findExporters } from '../../wire/session/exporter.ts';
import { shown } from '../builder/embedded-host.ts';
import { recordBuild as keepBuild } from '../builder/record-build.ts';
import { resultFiles } from '../builder/result-files.ts';
import { buildOutput, type ClientOutput } from './build-output.ts';
import { type BuildRecord, recordBuild } from './build-record.ts';
import type { TableEntry } from './build-table.ts';
import { type ClientBuild, openClientBuild } from './client-build.ts';
import { collectPins } from './client-provenance.ts';
import { clientStart } from './client-start.ts';
import type { DaemonServices } from './daemon-services.ts';
import { DANGLING_PREFIX } from './docker/stored-images.ts';
import { errorStatus } from './error-status.ts';
import { type FrontendResult, platformsOf, resultRefs } from './frontend-result.ts';
import { createBridge } from './gateway/bridge.ts';
import { platformWarnings } from './platform-warnings.ts';
import { withScans } from './scan-result.ts';
import { sessionTarget } from './session-target.ts';
import type { ClientSolve } from './solve-request.ts';
import { type ExporterRequest, readSolveRequest } from './solve-request.ts';
import { platformID } from './worker.ts';

type Answers = Readonly<Record<string, string>>;

const EXPORTERS = ['image', 'moby', 'oci', 'docker', 'local', 'tar'];

/**
 * Runs a build for a client to its end (control-api facts, 4).
 * @returns what exporters answered
 */
export async function runSolve(services: DaemonServices, message: SolveRequest, signal: AbortSignal): Promise<Answers> {
  const request = readSolveRequest(message, services.entitlements);
  checkExporters(request.exporters);
  using entry = services.builds.open(request.ref);
  const run = (record?: BuildRecord, onEvent: EventSink = () => undefined): Promise<Answers> => {
    const attempt = (lost: Set<string>) => runBuild(services, request, entry, { record, lost, onEvent }, signal);
    // A frontend in the client has been answered already, and does not run again.
    return isClientFrontend(request) ? attempt(new Set()) : retryWithoutLostLayers(attempt);
  };
  if (request.isInternal) return await run();
  const record = recordBuild(services, request, entry);
  let answers: Answers;
  try {
    answers = await keptBuild(services, request, signal, onEvent => run(record, onEvent));
  } catch (error) {
    await record.fail(errorStatus(error));
    throw error;
  }
  await record.finish();
  return answers;
}

/** Runs a build, and keeps in the history of the root what explains it. */
async function keptBuild(
  { engine, sessions }: DaemonServices,
  request: ClientSolve,
  signal: AbortSignal,
  run: (onEvent: EventSink) => Promise<Answers>,
): Promise<Answers> {
  let directory = '';
  const named = request.session === '' ? undefined : sessions.get(request.session, signal);
  named?.then(
    ({ sharedKey }) => {
      directory = sharedKey;
    },
    () => undefined,
  );
  const start = (startedAt: number) => clientStart(request, directory, startedAt);
  const { response } = await keepBuild(
    engine,
    start,
    () => undefined,
    signal,
    async onEvent => ({
      response: await run(onEvent),
    }),
  );
  return response;
}

function checkExporters(exporters: readonly ExporterRequest[]): void {
  for (const { type } of exporters) {
    if (!EXPORTERS.includes(type))
      throw new StatusError(Code.unknown, `exporter ${JSON.stringify(type)} could not be found`);
  }
}

/** Whether the client runs the frontend, and talks to us through LLBBridge. */
function isClientFrontend({ frontend, definition }: ClientSolve): boolean {
  return frontend === '' && definition === undefined;
}

interface Attempt {
  /** Takes what the history keeps of the result. */
  readonly record: BuildRecord | undefined;
  /** Layers of imported caches that cannot be had; this attempt adds those that it finds. */
  readonly lost: Set<string>;
  readonly onEvent: EventSink;
}

async function runBuild(
  services: DaemonServices,
  request: ClientSolve,
  entry: TableEntry,
  { record, lost, onEvent }: Attempt,
  signal: AbortSignal,
): Promise<Answers> {
  using _store = await services.gate.enter(signal);
  const pins = collectPins();
  const noted: EventSink = event => {
    pins.note(event);
    onEvent(event);
  };
  await using build = openClientBuild(services, request, { emit: entry.progress.sink, onEvent: noted, lost });
  const named = request.exporters.map((exporter, index) => clientExporter(services, build, exporter, index));
  const caches = openBuildCaches({ from: request.cacheImports, to: request.cacheExports }, build.cacheDeps, signal);
  build.useImports(caches.imports);
  const result = await withScans(build, await frontendResult(build, entry, signal), signal);
  const found = request.asksForExporters ? await sessionExporters(services, build, result, signal) : [];
  const exporters = [
    ...named,
    ...found.map((exporter, index) => clientExporter(services, build, exporter, named.length + index)),
  ];
  const output = await buildOutput(
    build,
    result,
    {
      pins,
      caches: caches.exports,
      needsLayers: [...request.exporters, ...found].some(({ type }) => type !== 'local' && type !== 'tar'),
    },
    signal,
  );
  const warnings = warningsOf(build, result, output);
  if (exporters.length === 0 && warnings.length > 0)
    await shown({ name: 'Verifying build result' }, build, async vertex => warn(build, vertex, warnings));
  const answers: Record<string, string> = {};
  const exported: Answers[] = [];
  for (const [index, exporter] of exporters.entries()) {
    const answer = await runExport(build, exporter, index, output, index === 0 ? warnings : [], signal);
    exported.push(answer);
    Object.assign(answers, answer);
  }
  for (const [key, value] of result.metadata)
    if (key.startsWith('frontend.')) answers[key] = new TextDecoder().decode(value);
  Object.assign(answers, await caches.exports.run(output.keys, signal));
  if (request.asksForExporters)
    await finalizeExport((await services.sessions.get(request.session, signal)).channel, answers, signal);
  await record?.result(result, output, exported, signal);
  entry.bridge = undefined;
  return answers;
}

/** What the client's frontend, or one of ours, comes to. */
async function frontendResult(build: ClientBuild, entry: TableEntry, signal: AbortSignal): Promise<FrontendResult> {
  const { definition, frontend, frontendInputs: inputs, frontendOptions: options } = build.request;
  if (frontend !== '') {
    if (definition !== undefined && definition.def.length > 0)
      throw new StatusError(Code.unknown, 'cannot solve with both Definition and Frontend specified');
    return build.runFrontend({ frontend, options, inputs, imports: [] }, signal);
  }
  if (definition !== undefined) return build.definitionResult(definition, []);
  const bridge = build.own(createBridge(build, inputs));
  entry.bridge = bridge;
  return unlessAborted(bridge.returned, signal);
}

/** The exporters that the client chooses now that the result is there. */
async function sessionExporters(
  { sessions }: DaemonServices,
  { request }: ClientBuild,
  result: FrontendResult,
  signal: AbortSignal,
): Promise<readonly ExporterRequest[]> {
  const refs = resultRefs(result, [...platformsOf(result).keys()]).flatMap(([, ref]) => ref ?? []);
  await Promise.all(refs.map(ref => ref.solve(signal)));
  const { channel } = await sessions.get(request.session, signal);
  const ids = refs.map(({ id }) => id);
  const found = await findExporters(channel, Object.fromEntries(result.metadata), ids, signal);
  checkExporters(found);
  return found;
}

function clientExporter(
  { sessions }: DaemonServices,
  build: ClientBuild,
  { type, attributes }: ExporterRequest,
  index: number,
): Exporter {
  const context: ExportContext = {
    content: build.engine.content,
    images: build.engine.images,
    layers: build.engine.layerBlobs,
    registryFor: build.registryFor,
    repositoryOf: () => undefined,
    async open(ref, signal) {
      const tree = await resultFiles(ref, build.engine.layers, signal);
      return { tree, async [Symbol.asyncDispose]() {} };
    },
    loadIntoEngine: undefined,
    now: build.now,
  };
  switch (type) {
    case 'moby':
      // Docker's clients find images without a name by their id.
      return createExporter(
        {
          type: 'image',
          attributes: { 'dangling-name-prefix': DANGLING_PREFIX, 'danging-name-empty-only': 'true', ...attributes },
        },
        context,
      );
    case 'image':
      // Only Docker's clients look for names here.
      return createExporter({ type, attributes: { ...attributes, store: 'false' } }, context);
    case 'oci':
    case 'docker':
    case 'local':
    case 'tar': {
      const target = sessionTarget(signal => sessions.get(build.request.session, signal), index);
      return createExporter({ type, attributes, target }, context);
    }
    default:
      throw new StatusError(Code.unknown, `exporter ${JSON.stringify(type)} could not be found`);
  }
}

async function runExport(
  build: ClientBuild,
  exporter: Exporter,
  index: number,
  output: ClientOutput,
  warnings: readonly string[],
  signal: AbortSignal,
): Promise<Answers> {
  const { emit, now, request } = build;
  const digest = digestOf(`${request.session}-export-${index}`);
  return shown({ name: exporter.name, digest }, build, vertex => {
    warn(build, vertex, warnings);
    return exporter.export(output, createExportProgress(vertex, emit, now), signal);
  });
}

/** What is to be said of a result before it is exported. */
function warningsOf(build: ClientBuild, { ref, refs, metadata }: FrontendResult, output: ClientOutput): string[] {
  // Answers to requests have no platforms.
  if (ref === undefined && refs === undefined && !metadata.has('refs.platforms')) return [];
  const asked = build.request.frontendOptions.get('platform')?.split(',') ?? [platformID(build.platform)];
  const platforms = output.platforms.map(({ platform }) => platform);
  return platformWarnings(asked, { platforms, isMap: refs !== undefined });
}

function warn({ emit }: ClientBuild, vertex: string, warnings: readonly string[]): void {
  for (const text of warnings) emit({ kind: 'warning', vertex, level: 0, short: Buffer.from(text), detail: [] });
}
