import type { WarningEvent } from '../../../engine/status/event.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type { WarnRequest } from '../../../wire/proto/gen/control/gateway_pb.ts';

/** A warning that a frontend gives about a step. @throws StatusError for a range without ends */
export function readWarning(request: WarnRequest): WarningEvent {
  const { digest, level, short, detail, url, info, ranges } = request;
  return {
    kind: 'warning',
    vertex: digest,
    level: Number(level),
    short,
    detail,
    ...(url === '' ? {} : { url }),
    ...(info === undefined
      ? {}
      : { sourceInfo: { filename: info.filename, data: info.data, language: info.language } }),
    ranges: ranges.map(({ start, end }) => {
      if (start === undefined || end === undefined) throw new StatusError(Code.invalidArgument, 'invalid source range');
      return {
        start: { line: start.line, character: start.character },
        end: { line: end.line, character: end.character },
      };
    }),
  };
}
