import type { WarningEvent } from '../../../engine/status/event.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type { WarnRequest } from '../../../wire/proto/gen/control/gateway_pb.ts';
import { warningOf } from '../warning-message.ts';

/** A warning that a frontend gives about a step. @throws StatusError for a range without ends */
export function readWarning(request: WarnRequest): WarningEvent {
  if (request.ranges.some(({ start, end }) => start === undefined || end === undefined)) {
    throw new StatusError(Code.invalidArgument, 'invalid source range');
  }
  return warningOf(request.digest, request);
}
