import type { StatusEvent } from '../../engine/status/event.ts';
import { isCanceled, toBytes } from './error-block.ts';
import { formatProgressBytes, toFixedHalfEven, toSeconds } from './go-format.ts';
import type { TracedVertex } from './trace.ts';

/** A status as plain output says it: `transferring context: 1.20kB 0.1s done`; each character a byte. */
export function statusLine(status: StatusEvent): string {
  return `${toBytes(status.id)}${bytesOf(status)}${timeOf(status)}${status.completed === undefined ? '' : ' done'}`;
}

function bytesOf({ current, total }: StatusEvent): string {
  if (total !== 0) return ` ${formatProgressBytes(current)} / ${formatProgressBytes(total)}`;
  return current === 0 ? '' : ` ${formatProgressBytes(current)}`;
}

function timeOf({ started, completed, timestamp }: StatusEvent): string {
  if (started === undefined) return '';
  const seconds = toSeconds((completed ?? timestamp) - started);
  return seconds > 0.01 ? ` ${toFixedHalfEven(seconds, 1)}s` : '';
}

/** How a vertex ended: `DONE 0.2s`, `CACHED`, `CANCELED` or `ERROR: …`; each character a byte. */
export function ending(vertex: TracedVertex): string {
  if (vertex.error !== '') return isCanceled(vertex.error) ? 'CANCELED' : `ERROR: ${toBytes(vertex.error)}`;
  if (vertex.cached) return 'CACHED';
  const seconds = vertex.merged.reduce((sum, { start, stop }) => sum + toSeconds((stop ?? start) - start), 0);
  return `DONE ${toFixedHalfEven(seconds, 1)}s`;
}
