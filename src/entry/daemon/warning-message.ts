import type { SourceRange, WarningEvent } from '../../engine/status/event.ts';
import type { VertexWarning } from '../../wire/proto/gen/control/control_pb.ts';
import type { Range } from '../../wire/proto/gen/pb/ops_pb.ts';

type WarningMessage = Pick<VertexWarning, 'level' | 'short' | 'detail' | 'url' | 'info' | 'ranges'>;

/** The event that a message about a step's warning tells of; ranges without ends are left out. */
export function warningOf(vertex: string, message: WarningMessage): WarningEvent {
  const { level, short, detail, url, info, ranges } = message;
  return {
    kind: 'warning',
    vertex,
    level: Number(level),
    short,
    detail,
    ...(url === '' ? {} : { url }),
    ...(info === undefined
      ? {}
      : { sourceInfo: { filename: info.filename, data: info.data, language: info.language } }),
    ...(ranges.length === 0 ? {} : { ranges: ranges.flatMap(rangeOf) }),
  };
}

function rangeOf({ start, end }: Range): SourceRange[] {
  if (start === undefined || end === undefined) return [];
  return [
    {
      start: { line: start.line, character: start.character },
      end: { line: end.line, character: end.character },
    },
  ];
}
