import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LogEvent, StatusEvent, VertexEvent, WarningEvent } from '../../engine/status/event.ts';
import type {
  StatusResponseSchema,
  VertexLogSchema,
  VertexSchema,
  VertexStatusSchema,
  VertexWarningSchema,
} from '../../wire/proto/gen/control/control_pb.ts';
import { timestampMessage } from './wire-values.ts';

export type StatusResponse = MessageInitShape<typeof StatusResponseSchema>;

/** What a client has not been told yet of a build. */
export interface StatusNews {
  readonly vertices: Iterable<VertexEvent>;
  readonly statuses: Iterable<StatusEvent>;
  readonly logs: readonly LogEvent[];
  readonly warnings: readonly WarningEvent[];
}

/** Logs of more bytes are told in several messages. */
const MAX_LOGS = 1024 * 1024;

/** News as messages: usually one; several when there are many logs. Times order what is in one (control-api facts, 5.2). */
export function* statusMessages(news: StatusNews): Generator<StatusResponse> {
  const vertexes = [...news.vertices].sort((a, b) => compare(a.started ?? 0n, b.started ?? 0n)).map(vertexMessage);
  const statuses = [...news.statuses].sort(byTimestamp).map(statusMessage);
  const warnings = news.warnings.map(warningMessage);
  let logs: MessageInitShape<typeof VertexLogSchema>[] = [];
  let size = 0;
  let isFirst = true;
  const take = (): StatusResponse => {
    const message = isFirst ? { vertexes, statuses, logs, warnings } : { logs };
    isFirst = false;
    logs = [];
    size = 0;
    return message;
  };
  for (const log of [...news.logs].sort(byTimestamp)) {
    if (size > 0 && size + log.data.length > MAX_LOGS) yield take();
    logs.push(logMessage(log));
    size += log.data.length;
  }
  if (isFirst || logs.length > 0) yield take();
}

function vertexMessage(event: VertexEvent): MessageInitShape<typeof VertexSchema> {
  const { digest, inputs, name, cached, error = '', progressGroup } = event;
  return {
    digest,
    inputs: [...inputs],
    name,
    cached,
    error,
    ...times(event),
    ...(progressGroup === undefined ? {} : { progressGroup }),
  };
}

function statusMessage(event: StatusEvent): MessageInitShape<typeof VertexStatusSchema> {
  const { id, vertex, name, current, total, timestamp } = event;
  return {
    ID: id,
    vertex,
    name,
    current: BigInt(current),
    total: BigInt(total),
    timestamp: timestampMessage(timestamp),
    ...times(event),
  };
}

function logMessage({ vertex, stream, data, timestamp }: LogEvent): MessageInitShape<typeof VertexLogSchema> {
  return { vertex, stream: BigInt(stream), msg: Uint8Array.from(data), timestamp: timestampMessage(timestamp) };
}

function warningMessage(event: WarningEvent): MessageInitShape<typeof VertexWarningSchema> {
  const { vertex, level, short, detail, url = '', sourceInfo, ranges = [] } = event;
  return {
    vertex,
    level: BigInt(level),
    short: Uint8Array.from(short),
    detail: detail.map(text => Uint8Array.from(text)),
    url,
    ranges: ranges.map(({ start, end }) => ({ start: { ...start }, end: { ...end } })),
    ...(sourceInfo === undefined
      ? {}
      : {
          info: {
            filename: sourceInfo.filename,
            data: Uint8Array.from(sourceInfo.data),
            language: sourceInfo.language ?? '',
          },
        }),
  };
}

function times({ started, completed }: Pick<VertexEvent, 'started' | 'completed'>) {
  return {
    ...(started === undefined ? {} : { started: timestampMessage(started) }),
    ...(completed === undefined ? {} : { completed: timestampMessage(completed) }),
  };
}

function byTimestamp(a: { readonly timestamp: bigint }, b: { readonly timestamp: bigint }): number {
  return compare(a.timestamp, b.timestamp);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
