import type { BuildEvent, Timestamp } from '../../engine/status/event.ts';
import { formatTimestamp } from '../../engine/status/timestamp.ts';
import type { StatusBatch } from './batch.ts';

/**
 * One line of buildx's `--progress=rawjson`: compact JSON as Go writes it, empty lists and fields left out.
 * @returns the line with its newline, or an empty text for an empty batch.
 */
export function rawJsonLine(batch: StatusBatch): string {
  const line: Record<string, unknown> = {};
  if (batch.vertexes.length > 0) line['vertexes'] = batch.vertexes.map(plainOf);
  if (batch.statuses.length > 0) line['statuses'] = batch.statuses.map(plainOf);
  if (batch.logs.length > 0) line['logs'] = batch.logs.map(plainOf);
  if (batch.warnings.length > 0) line['warnings'] = batch.warnings.map(plainOf);
  if (Object.keys(line).length === 0) return '';
  const text = JSON.stringify(line).replace(
    /[<>&\u2028\u2029]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${text}\n`;
}

function plainOf(event: BuildEvent): Record<string, unknown> {
  switch (event.kind) {
    case 'vertex':
      return {
        digest: event.digest,
        ...(event.inputs.length > 0 ? { inputs: event.inputs } : {}),
        name: event.name,
        ...times(event),
        ...(event.cached ? { cached: true } : {}),
        ...(event.error ? { error: event.error } : {}),
        ...(event.progressGroup
          ? {
              progressGroup: {
                id: event.progressGroup.id,
                name: event.progressGroup.name,
                ...(event.progressGroup.weak ? { weak: true } : {}),
              },
            }
          : {}),
      };
    case 'status':
      return {
        id: event.id,
        vertex: event.vertex,
        ...(event.name ? { name: event.name } : {}),
        ...(event.total ? { total: event.total } : {}),
        current: event.current,
        timestamp: formatTimestamp(event.timestamp),
        ...times(event),
      };
    case 'log':
      return {
        vertex: event.vertex,
        stream: event.stream,
        data: base64(event.data),
        timestamp: formatTimestamp(event.timestamp),
      };
    case 'warning':
      return {
        vertex: event.vertex,
        ...(event.level ? { level: event.level } : {}),
        short: base64(event.short),
        ...(event.detail.length > 0 ? { detail: event.detail.map(base64) } : {}),
        ...(event.url ? { url: event.url } : {}),
        ...(event.sourceInfo
          ? {
              sourceInfo: {
                filename: event.sourceInfo.filename,
                data: base64(event.sourceInfo.data),
                ...(event.sourceInfo.definition === undefined ? {} : { definition: event.sourceInfo.definition }),
                ...(event.sourceInfo.language ? { language: event.sourceInfo.language } : {}),
              },
            }
          : {}),
        ...(event.ranges?.length
          ? { range: event.ranges.map(({ start, end }) => ({ start: position(start), end: position(end) })) }
          : {}),
      };
    default:
      return {};
  }
}

function position({ line, character }: { line: number; character: number }): Record<string, number> {
  return { ...(line ? { line } : {}), ...(character ? { character } : {}) };
}

function times({ started, completed }: { started?: Timestamp; completed?: Timestamp }): Record<string, string> {
  return {
    ...(started === undefined ? {} : { started: formatTimestamp(started) }),
    ...(completed === undefined ? {} : { completed: formatTimestamp(completed) }),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** The inverse of `formatTimestamp`. @throws RangeError when the text is no such time. */
export function parseRfc3339(text: string): Timestamp {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/.exec(text);
  const milliseconds = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN;
  if (!match || Number.isNaN(milliseconds)) throw new RangeError(`not a time in RFC 3339: ${text}`);
  return BigInt(milliseconds) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}
