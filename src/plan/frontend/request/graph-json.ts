/** Graphs as Go's `encoding/json` writes BuildKit's structs, for the results of requests. */
import type { Definition, OpMetadata, Source, SourceInfo } from '../../../wire/proto/gen/pb/ops_pb.ts';
import type { SourceMap } from '../../llb/vertex.ts';

/** A file with the graph that it was read from. */
export function sourceInfoJson({
  filename,
  data,
  definition,
  language,
}: SourceMap & { readonly definition: Definition }): unknown {
  return {
    ...(filename !== '' && { filename }),
    ...(data.length > 0 && { data: base64(data) }),
    definition: definitionJson(definition),
    ...(language !== '' && { language }),
  };
}

function definitionJson({ def, metadata, Source: source }: Definition): unknown {
  return {
    ...(def.length > 0 && { def: def.map(base64) }),
    ...(Object.keys(metadata).length > 0 && { metadata: metadataJson(metadata) }),
    ...(source && { Source: sourceJson(source) }),
  };
}

/** What is known of vertices, by digest. */
export function metadataJson(metadata: Readonly<Record<string, OpMetadata>>): unknown {
  return mapJson(metadata, opMetadataJson);
}

function opMetadataJson(metadata: OpMetadata): unknown {
  const { ignoreCache, description, exportCache, caps, progressGroup: group, linuxResources } = metadata;
  return {
    ...(ignoreCache && { ignore_cache: true }),
    ...(Object.keys(description).length > 0 && { description: mapJson(description, value => value) }),
    ...(exportCache && { export_cache: exportCache.Value ? { Value: true } : {} }),
    ...(Object.keys(caps).length > 0 && { caps: mapJson(caps, value => value) }),
    ...(group && {
      progress_group: {
        ...(group.id !== '' && { id: group.id }),
        ...(group.name !== '' && { name: group.name }),
        ...(group.weak && { weak: true }),
      },
    }),
    ...(linuxResources && { linux_resources: plainMembers(linuxResources) }),
  };
}

function sourceJson({ locations, infos }: Source): unknown {
  return {
    ...(Object.keys(locations).length > 0 && {
      locations: mapJson(locations, list => ({
        ...(list.locations.length > 0 && {
          locations: list.locations.map(({ sourceIndex, ranges }) => ({
            ...(sourceIndex !== 0 && { sourceIndex }),
            ...(ranges.length > 0 && {
              ranges: ranges.map(({ start, end }) => ({
                ...(start && { start: plainMembers(start) }),
                ...(end && { end: plainMembers(end) }),
              })),
            }),
          })),
        }),
      })),
    }),
    ...(infos.length > 0 && { infos: infos.map(infoJson) }),
  };
}

function infoJson({ filename, data, definition, language }: SourceInfo): unknown {
  return {
    ...(filename !== '' && { filename }),
    ...(data.length > 0 && { data: base64(data) }),
    ...(definition && { definition: definitionJson(definition) }),
    ...(language !== '' && { language }),
  };
}

/** Numbers and texts of a message, those that are not empty. */
function plainMembers(message: object): unknown {
  return Object.fromEntries(
    Object.entries(message).flatMap(([key, value]) => {
      if (typeof value === 'bigint') return value === 0n ? [] : [[key, Number(value)]];
      return (typeof value === 'number' || typeof value === 'string') && value && key !== '$typeName'
        ? [[key, value]]
        : [];
    }),
  );
}

/** A map with its keys in order, as Go writes it. */
export function mapJson<Value>(map: Readonly<Record<string, Value>>, json: (value: Value) => unknown): unknown {
  return Object.fromEntries(
    Object.entries(map)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, json(value)]),
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
