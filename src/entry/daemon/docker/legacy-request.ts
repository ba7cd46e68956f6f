import type { LegacyContext } from '../../../engine/legacy/context.ts';
import type { LegacyBuildRequest } from '../../../engine/legacy/request.ts';
import { parsePlatform } from '../../../wire/oci/platform.ts';
import { ApiError, readFlag, readJsonParameter } from './api-call.ts';

/** What the parameters of `/build` ask of the legacy builder (docker-api facts, 3.1). Throws ApiError. */
export function legacyRequest(
  query: URLSearchParams,
  context: LegacyContext,
  dockerfile: Uint8Array,
  dockerfileName: string,
): LegacyBuildRequest {
  if (query.getAll('securityopt').length > 0)
    throw new ApiError(400, 'The daemon on this platform does not support setting security options on build');
  if (readFlag(query, 'squash')) throw new ApiError(400, 'squash is only supported with experimental mode');
  const cacheFrom = readJsonParameter(query, 'cachefrom', 'cache-from');
  const platform = query.get('platform');
  const mode = query.get('networkmode') ?? '';
  const shmSize = Number(query.get('shmsize') ?? 0);
  return {
    context,
    dockerfile,
    dockerfileName,
    target: query.get('target') || undefined,
    buildArgs: textMap(readJsonParameter(query, 'buildargs', 'build args')),
    labels: textMap(readJsonParameter(query, 'labels', 'labels')),
    tags: query.getAll('t'),
    platform: platform ? parsePlatform(platform) : undefined,
    noCache: readFlag(query, 'nocache'),
    cacheFrom: Array.isArray(cacheFrom) && cacheFrom.length > 0 ? cacheFrom.map(String) : undefined,
    pull: readFlag(query, 'pull'),
    rm: readFlag(query, 'rm', true),
    forceRm: readFlag(query, 'forcerm'),
    run: {
      network: mode === 'host' || mode === 'none' ? mode : 'default',
      extraHosts: query.getAll('extrahosts').map(readHost),
      ulimits: readUlimits(query),
      cgroupParent: query.get('cgroupparent') || undefined,
      shmSize: shmSize > 0 ? shmSize : undefined,
    },
  };
}

/** Names that have no value are only named. */
function textMap(value: unknown): ReadonlyMap<string, string> {
  if (typeof value !== 'object' || value === null) return new Map();
  return new Map(
    Object.entries(value).flatMap(([key, text]: [string, unknown]) => (typeof text === 'string' ? [[key, text]] : [])),
  );
}

function readHost(text: string): { readonly host: string; readonly ip: string } {
  const separator = text.search(/[:=]/);
  return { host: text.slice(0, separator), ip: text.slice(separator + 1) };
}

function readUlimits(query: URLSearchParams): LegacyBuildRequest['run']['ulimits'] {
  const value = readJsonParameter(query, 'ulimits', 'ulimit settings');
  if (!Array.isArray(value)) return [];
  return value.map((limit: unknown) => {
    const member = (name: string): unknown =>
      typeof limit === 'object' && limit !== null ? Reflect.get(limit, name) : undefined;
    return { name: String(member('Name') ?? ''), soft: Number(member('Soft')), hard: Number(member('Hard')) };
  });
}
