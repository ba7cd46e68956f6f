import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runLegacyBuild } from '../../../engine/legacy/build.ts';
import { openLegacyContext } from '../../../engine/legacy/context.ts';
import { LegacyBuildError } from '../../../engine/legacy/error.ts';
import { resolveInRoot } from '../../../host/system/root-path.ts';
import type { DaemonServices } from '../daemon-services.ts';
import { errorText } from '../error-status.ts';
import { pruneDaemonCache } from '../usage-service.ts';
import { type ApiCall, ApiError, type ApiRoute, readFilters, readFlag, sendJson } from './api-call.ts';
import { unpackBody } from './archive-body.ts';
import { durationOf } from './image-routes.ts';
import { legacyRequest } from './legacy-request.ts';
import { type MessageStream, messageStream } from './message-stream.ts';
import { credentialsOfBuild } from './registry-auth.ts';

/** Builds without BuildKit, and the clearing of what builds leave (docker-api facts, 3 and 6). */
export function buildRoutes(services: DaemonServices): ApiRoute[] {
  return [
    { method: 'POST', path: /^\/build$/, answer: call => build(services, call) },
    { method: 'POST', path: /^\/build\/prune$/, answer: call => prune(services, call) },
  ];
}

async function build({ engine, gate }: DaemonServices, call: ApiCall): Promise<void> {
  const { query, request, response, signal } = call;
  const version = query.get('version') ?? '1';
  if (version === '2')
    throw new ApiError(501, 'builds of BuildKit come over /grpc here: use docker with the buildx plugin');
  if (version !== '1' && version !== '') throw new ApiError(400, `invalid version ${JSON.stringify(version)}`);
  if (query.get('remote'))
    throw new ApiError(501, 'contexts are not fetched for the legacy builder: let the client send them');
  const name = query.get('dockerfile') || 'Dockerfile';
  using _store = await gate.enter(signal);
  await using registry = engine.openRegistry({ credentials: credentialsOfBuild(request.headers) });
  const directory = await mkdtemp(join(tmpdir(), 'outcrop-build-'));
  let messages: MessageStream | undefined;
  const output: (string | Uint8Array)[] = [];
  const isQuiet = readFlag(query, 'q');
  const send = (data: string | Uint8Array): void => {
    messages ??= messageStream(response);
    messages.send({ stream: Buffer.from(data).toString() });
  };
  try {
    await unpackBody(request, directory, signal);
    const wanted = legacyRequest(query, openLegacyContext(directory, name), readDockerfile(directory, name), name);
    const { imageID } = await runLegacyBuild(
      { ...engine, registry },
      wanted,
      data => (isQuiet ? output.push(data) : send(data)),
      signal,
    );
    if (isQuiet) send(`${imageID}\n`);
    messages ??= messageStream(response);
    messages.send({ id: 'moby.image.id', aux: { ID: imageID } });
    messages.end();
  } catch (error) {
    if (signal.aborted) throw error;
    const isLegacy = error instanceof LegacyBuildError;
    if (messages === undefined && output.length === 0) {
      if (error instanceof ApiError) throw error;
      throw new ApiError(isLegacy && error.isRefusal ? 400 : 500, errorText(error), { cause: error });
    }
    for (const data of output) send(data);
    messages ??= messageStream(response);
    messages.fail(errorText(error), isLegacy ? error.exitCode : undefined);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function readDockerfile(directory: string, name: string): Uint8Array {
  try {
    return readFileSync(resolveInRoot(directory, name));
  } catch (cause) {
    throw new ApiError(400, `Cannot locate specified Dockerfile: ${name}`, { cause });
  }
}

async function prune(services: DaemonServices, call: ApiCall): Promise<void> {
  const { query, signal } = call;
  const filters = readFilters(query);
  const [until] = filters.get('until') ?? filters.get('unused-for') ?? [];
  const report = await pruneDaemonCache(
    services,
    {
      all: readFlag(query, 'all'),
      filter: record =>
        ['id', 'parent', 'type', 'description'].every(key => {
          const values = filters.get(key);
          if (values === undefined) return true;
          const own = {
            id: [record.id],
            parent: record.parents,
            type: [record.type],
            description: [record.description],
          };
          return own[key as keyof typeof own].some(value => values.includes(value));
        }),
      ...(until === undefined ? {} : { unusedFor: durationOf(until) }),
      ...bytes(query, 'reservedSpace', query.has('reserved-space') ? 'reserved-space' : 'keep-storage'),
      ...bytes(query, 'maxUsedSpace', 'max-used-space'),
      ...bytes(query, 'minFreeSpace', 'min-free-space'),
    },
    signal,
  );
  sendJson(call, { CachesDeleted: report.removed.map(({ id }) => id), SpaceReclaimed: report.reclaimed });
}

function bytes<K extends string>(query: URLSearchParams, key: K, name: string): { readonly [P in K]?: number } {
  const text = query.get(name);
  if (!text) return {};
  if (!/^\d+$/.test(text)) throw new ApiError(400, `${name} is in bytes and expects an integer, got ${text}`);
  return { [key]: Number(text) } as { [P in K]?: number };
}
