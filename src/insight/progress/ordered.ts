import { errorBlocks, toBytes } from './error-block.ts';
import { ending, statusLine } from './plain-line.ts';
import type { ByteSink, Renderer } from './renderer.ts';
import { createTrace, isCompleted, isStarted, type TracedVertex, takeBatch } from './trace.ts';

/**
 * Each step whole, in Dockerfile order: what runs beside the step that is shown waits until it is its turn. Steps of the
 * engine that load things come first, exports last.
 */
export function createOrderedRenderer({ write }: { readonly write: ByteSink }): Renderer {
  const trace = createTrace();
  const positions = new Map<string, number>();
  const ended = new Set<TracedVertex>();
  let known: TracedVertex[] = [];
  let current: TracedVertex | undefined;
  let printedLines = 0;
  let index = 0;
  let out = '';

  function orderOf(vertex: TracedVertex): number {
    const position = positions.get(vertex.digest);
    if (position !== undefined) return position;
    return /^\[(internal|auth|context)\b/.test(vertex.name) ? -1 : Number.POSITIVE_INFINITY;
  }

  function printLines(vertex: TracedVertex, whole: boolean): void {
    const end = vertex.partial && !whole ? vertex.lines.length - 1 : vertex.lines.length;
    for (const line of vertex.lines.slice(printedLines, end)) out += `#${index} ${line}\n`;
    printedLines = Math.max(printedLines, end);
  }

  function open(vertex: TracedVertex): void {
    current = vertex;
    printedLines = 0;
    index++;
    out += `${index === 1 ? '' : '\n'}#${index} ${toBytes(vertex.name)}\n`;
  }

  function close(vertex: TracedVertex): void {
    printLines(vertex, true);
    for (const id of vertex.started) {
      const status = vertex.statuses.get(id);
      if (status) out += `#${index} ${statusLine(status)}\n`;
    }
    for (const warning of vertex.warnings) out += `#${index} WARN: ${toBytes(warning)}\n`;
    if (isCompleted(vertex)) out += `#${index} ${ending(vertex)}\n`;
    ended.add(vertex);
    current = undefined;
  }

  function printDue(last: boolean): void {
    for (;;) {
      if (!current) {
        const waiting = known.filter(vertex => !ended.has(vertex) && !vertex.hidden && (!last || isStarted(vertex)));
        const next = waiting.reduce<TracedVertex | undefined>(
          (best, vertex) => (best && orderOf(best) <= orderOf(vertex) ? best : vertex),
          undefined,
        );
        if (!next || !isStarted(next)) return;
        open(next);
      }
      if (!current) return;
      printLines(current, false);
      if (!isCompleted(current) && !last) return;
      close(current);
    }
  }

  function flush(): void {
    if (out !== '') write(out);
    out = '';
  }

  return {
    take(batch, now) {
      takeBatch(trace, batch, now);
      for (const { digest, position, progressGroup } of batch.vertexes) {
        if (position !== undefined) positions.set(progressGroup?.id ?? digest, position);
      }
      known = [...new Set(trace.byDigest.values())];
    },
    print() {
      printDue(false);
      flush();
    },
    finish() {
      printDue(true);
      out += errorBlocks(trace.shown, vertex => vertex.lines.slice(-10));
      flush();
    },
  };
}
