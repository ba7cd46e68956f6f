import { create } from '@bufbuild/protobuf';
import {
  type Location,
  LocationSchema,
  LocationsSchema,
  type Range,
  RangeSchema,
  type Source,
  SourceInfoSchema,
  SourceSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import type { EncodedVertex, SourceMap } from './vertex.ts';

/** Gathers where the steps of a definition come from. */
export interface SourceCollector {
  /** Notes the places of a step; the same step may come from several. */
  add(digest: string, vertex: EncodedVertex): void;
  finish(): Source;
}

export function collectSources(): SourceCollector {
  const maps: SourceMap[] = [];
  const indexes = new Map<SourceMap, number>();
  const source = create(SourceSchema);
  const indexOf = (map: SourceMap): number => {
    let index = indexes.get(map);
    if (index === undefined) {
      const equal = maps.findIndex(other => equalMaps(other, map));
      index = equal >= 0 ? equal : maps.push(map) - 1;
      indexes.set(map, index);
    }
    return index;
  };
  return {
    add: (digest, vertex) => {
      const entry = source.locations[digest] ?? create(LocationsSchema);
      source.locations[digest] = entry;
      const { locations } = entry;
      if ('raw' in vertex) {
        for (const { map, ranges } of vertex.located) locations.push(location(indexOf(map), ranges));
      } else {
        for (const { map, lines } of vertex.options.locations ?? []) {
          locations.push(location(indexOf(map), lines.map(lineRange)));
        }
      }
    },
    finish: () => {
      source.infos = maps.map(({ filename, language, data, definition }) =>
        create(SourceInfoSchema, { filename, language, data, ...(definition === undefined ? {} : { definition }) }),
      );
      return source;
    },
  };
}

function location(sourceIndex: number, ranges: Range[]): Location {
  return create(LocationSchema, { sourceIndex, ranges });
}

/** A line is a range of its own, without characters. */
function lineRange(line: number): Range {
  return create(RangeSchema, { start: { line }, end: { line } });
}

function equalMaps(a: SourceMap, b: SourceMap): boolean {
  const terminal = (map: SourceMap) => map.definition?.def.at(-1);
  const [terminalA, terminalB] = [terminal(a), terminal(b)];
  return (
    a.filename === b.filename &&
    a.language === b.language &&
    equalBytes(a.data, b.data) &&
    (terminalA === undefined || terminalB === undefined || equalBytes(terminalA, terminalB))
  );
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
