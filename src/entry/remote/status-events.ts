import type { BuildEvent, Timestamp } from '../../engine/status/event.ts';
import type { StatusResponse, Vertex, VertexLog, VertexStatus } from '../../wire/proto/gen/control/control_pb.ts';
import { warningOf } from '../daemon/warning-message.ts';
import { timestampOf } from '../daemon/wire-values.ts';

type Time = Parameters<typeof timestampOf>[0];

/**
 * What a daemon tells of a build, as the events that it would have been here.
 * @param shift nanoseconds that our clock is ahead of the daemon's
 */
export function* statusEvents(message: StatusResponse, shift: bigint): Generator<BuildEvent> {
  for (const vertex of message.vertexes) yield vertexEvent(vertex, shift);
  for (const status of message.statuses) yield statusEvent(status, shift);
  for (const log of message.logs) yield logEvent(log, shift);
  for (const warning of message.warnings) yield warningOf(warning.vertex, warning);
}

function vertexEvent(vertex: Vertex, shift: bigint): BuildEvent {
  const { digest, inputs, name, cached, error, progressGroup } = vertex;
  return {
    kind: 'vertex',
    digest,
    inputs,
    name,
    cached,
    ...times(vertex, shift),
    ...(error === '' ? {} : { error }),
    ...(progressGroup === undefined
      ? {}
      : { progressGroup: { id: progressGroup.id, name: progressGroup.name, weak: progressGroup.weak } }),
  };
}

function statusEvent(status: VertexStatus, shift: bigint): BuildEvent {
  const { ID: id, vertex, name, current, total, timestamp } = status;
  return {
    kind: 'status',
    id,
    vertex,
    name,
    current: Number(current),
    total: Number(total),
    timestamp: timeOf(timestamp, shift),
    ...times(status, shift),
  };
}

function logEvent({ vertex, stream, msg, timestamp }: VertexLog, shift: bigint): BuildEvent {
  return { kind: 'log', vertex, stream: stream === 2n ? 2 : 1, data: msg, timestamp: timeOf(timestamp, shift) };
}

function times(
  { started, completed }: { readonly started?: Time | undefined; readonly completed?: Time | undefined },
  shift: bigint,
): { started?: Timestamp; completed?: Timestamp } {
  return {
    ...(started === undefined ? {} : { started: timeOf(started, shift) }),
    ...(completed === undefined ? {} : { completed: timeOf(completed, shift) }),
  };
}

function timeOf(message: Time | undefined, shift: bigint): Timestamp {
  return message === undefined ? 0n : timestampOf(message) + shift;
}
