import type { Timestamp } from '../../engine/status/event.ts';
import { parseGoDuration } from '../../host/config/daemon-config.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { BuildHistoryRecord } from '../../wire/proto/gen/control/control_pb.ts';
import { timestampOf } from './wire-values.ts';

type Condition = (record: BuildHistoryRecord) => boolean;

const TEXT_FIELDS: Readonly<Record<string, (record: BuildHistoryRecord) => string>> = {
  ref: record => record.Ref,
  status: statusOf,
  repository: record => record.FrontendAttrs['vcs:source'] ?? record.FrontendAttrs['context'] ?? '',
};

/**
 * Which records are asked for: of several filters any is enough, of conditions that commas join all must hold
 * (control-api facts, 6.1).
 * @throws StatusError for a text that is no filter
 */
export function historyFilter(texts: readonly string[], now: Timestamp): Condition {
  const filters = texts
    .filter(text => text !== '')
    .map(text => {
      const conditions = text.split(',').map(part => parseCondition(part.trim(), now));
      return (record: BuildHistoryRecord) => conditions.every(holds => holds(record));
    });
  return record => filters.length === 0 || filters.some(filter => filter(record));
}

function parseCondition(text: string, now: Timestamp): Condition {
  const [, field = '', operator = '', value = ''] = /^(\w+)\s*(==|!=|~=|>=|<=|>|<)\s*(.*)$/s.exec(text) ?? [];
  const wanted = value.replace(/^"(.*)"$/s, '$1');
  const fail = (cause?: unknown) =>
    new StatusError(Code.invalidArgument, `invalid filter ${JSON.stringify(text)}`, { cause });
  const read = TEXT_FIELDS[field];
  if (read !== undefined) {
    if (operator === '==') return record => read(record) === wanted;
    if (operator === '!=') return record => read(record) !== wanted;
    if (operator !== '~=') throw fail();
    try {
      const expression = new RegExp(wanted);
      return record => expression.test(read(record));
    } catch (cause) {
      throw fail(cause);
    }
  }
  const compare = COMPARISONS[operator];
  if (compare === undefined) throw fail();
  if (field === 'duration') {
    const duration = parseGoDuration(wanted);
    if (duration === undefined) throw fail();
    const limit = BigInt(Math.round(duration * 1e6));
    return record => {
      const [start, end] = [timeOf(record.CreatedAt), timeOf(record.CompletedAt)];
      return start !== undefined && end !== undefined && compare(end - start, limit);
    };
  }
  if (field !== 'startedAt' && field !== 'completedAt') throw fail();
  const ago = parseGoDuration(wanted);
  const date = Date.parse(wanted);
  if (ago === undefined && Number.isNaN(date)) throw fail();
  const limit = ago === undefined ? BigInt(date) * 1_000_000n : now - BigInt(Math.round(ago * 1e6));
  return record => {
    const time = timeOf(field === 'startedAt' ? record.CreatedAt : record.CompletedAt);
    return time !== undefined && compare(time, limit);
  };
}

const COMPARISONS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
};

function timeOf(time: BuildHistoryRecord['CreatedAt']): Timestamp | undefined {
  return time === undefined ? undefined : timestampOf(time);
}

function statusOf({ CompletedAt: completed, error }: BuildHistoryRecord): string {
  if (completed === undefined) return 'running';
  if (error === undefined) return 'completed';
  return error.code === Code.canceled ? 'canceled' : 'error';
}
