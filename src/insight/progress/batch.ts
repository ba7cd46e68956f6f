import type { BuildEvent, LogEvent, StatusEvent, VertexEvent, WarningEvent } from '../../engine/status/event.ts';

/** Events that a renderer takes at once, as one message of BuildKit's status stream. */
export interface StatusBatch {
  readonly vertexes: readonly VertexEvent[];
  readonly statuses: readonly StatusEvent[];
  readonly logs: readonly LogEvent[];
  readonly warnings: readonly WarningEvent[];
}

/** Events by kind in the order in which they happened; key traces and outcomes are no part of progress. */
export function batchOf(events: readonly BuildEvent[]): StatusBatch {
  const vertexes: VertexEvent[] = [];
  const statuses: StatusEvent[] = [];
  const logs: LogEvent[] = [];
  const warnings: WarningEvent[] = [];
  for (const event of events) {
    if (event.kind === 'vertex') vertexes.push(event);
    else if (event.kind === 'status') statuses.push(event);
    else if (event.kind === 'log') logs.push(event);
    else if (event.kind === 'warning') warnings.push(event);
  }
  return { vertexes, statuses, logs, warnings };
}
