import type { StatusEvent } from '../../engine/status/event.ts';
import { errorBlocks, toBytes } from './error-block.ts';
import { toSeconds } from './go-format.ts';
import { ending, statusLine } from './plain-line.ts';
import type { ByteSink, Renderer } from './renderer.ts';
import { createTrace, isCompleted, isStarted, type TracedVertex, takeBatch } from './trace.ts';

const MAX_WAIT_SECONDS = 10;
const ANTI_FLICKER_SECONDS = 5;
const ERROR_LINES = 10;
const MIN_STATUS_ADVANCE = 0.05;
const MIN_STATUS_DELAY_SECONDS = 5;

/** What plain output needs to know of a vertex beside the trace. */
interface Block {
  readonly index: number;
  /** Bytes of the unfinished first line that are on the screen already. */
  lineOffset: number;
  warningsPrinted: number;
  lastLines: string[];
  /** The last of `lastLines` is unfinished and gives way to the next. */
  lastOpen: boolean;
}

export interface PlainOptions {
  readonly write: ByteSink;
  /** Printed as `#0 …` before everything else. */
  readonly description?: string;
  /** Cut names to 72 bytes (`PROGRESS_NO_TRUNC=0`). */
  readonly truncate?: boolean;
}

/**
 * BuildKit's plain progress: one block a vertex, blocks of vertices that run at the same time in turns. The text is
 * BuildKit's to the byte (vectors `progress/`).
 */
export function createPlainRenderer({ write, description, truncate = false }: PlainOptions): Renderer {
  const trace = createTrace();
  const blocks = new Map<TracedVertex, Block>();
  const printedStatuses = new Map<string, StatusEvent>();
  let current: TracedVertex | undefined;
  let first = true;
  let out = '';

  function blockOf(vertex: TracedVertex): Block {
    let block = blocks.get(vertex);
    if (!block) {
      block = { index: blocks.size + 1, lineOffset: 0, warningsPrinted: 0, lastLines: [], lastOpen: false };
      blocks.set(vertex, block);
    }
    return block;
  }

  function header(vertex: TracedVertex, block: Block): void {
    if (current === vertex) return;
    if (current) {
      const open = blockOf(current);
      if (current.partial) out += '\n';
      open.lineOffset = 0;
      current.updates = 0;
      out += `#${open.index} ...\n`;
    }
    if (first) {
      if (description) out += `#0 ${toBytes(description)}\n\n`;
      first = false;
    } else out += '\n';
    const name = toBytes(vertex.name);
    out += `#${block.index} ${truncate && name.length > 72 ? `${name.slice(0, 72)}...` : name}\n`;
  }

  function printStatuses(vertex: TracedVertex, index: number): boolean {
    let open = false;
    for (const id of vertex.started) {
      if (!vertex.pendingStatuses.has(id)) continue;
      const status = vertex.statuses.get(id);
      if (!status || !isWorthPrinting(status, printedStatuses.get(id))) continue;
      printedStatuses.set(id, status);
      if (status.completed === undefined) open = true;
      out += `#${index} ${statusLine(status)}\n`;
    }
    vertex.pendingStatuses.clear();
    return open;
  }

  function printLogs(vertex: TracedVertex, block: Block): void {
    const { lines } = vertex;
    lines.forEach((line, i) => {
      const text = i === 0 && block.lineOffset > 0 ? line.slice(block.lineOffset) : line;
      out += i === 0 && block.lineOffset > 0 ? text : `#${block.index} ${text}`;
      if (i < lines.length - 1 || !vertex.partial) out += '\n';
      if (block.lastOpen) block.lastLines.pop();
      block.lastLines.push(text);
      block.lastOpen = vertex.partial;
    });
    block.lastLines = block.lastLines.slice(-ERROR_LINES);
    if (lines.length === 0) return;
    vertex.lines = vertex.partial ? lines.slice(-1) : [];
    block.lineOffset = vertex.partial ? (vertex.lines[0]?.length ?? 0) : 0;
  }

  function printVertex(vertex: TracedVertex): void {
    const block = blockOf(vertex);
    header(vertex, block);
    const openStatus = printStatuses(vertex, block.index);
    for (const warning of vertex.warnings.slice(block.warningsPrinted))
      out += `#${block.index} WARN: ${toBytes(warning)}\n`;
    block.warningsPrinted = vertex.warnings.length;
    printLogs(vertex, block);
    current = vertex;
    if (isCompleted(vertex) && !openStatus) {
      current = undefined;
      vertex.updates = 0;
      if (vertex.partial) out += '\n';
      out += `#${block.index} ${ending(vertex)}\n`;
    }
    trace.pending.delete(vertex.digest);
  }

  function printDue(now: number): void {
    const pending = [...trace.pending].flatMap(digest => {
      const vertex = trace.byDigest.get(digest);
      return vertex && !vertex.hidden ? [vertex] : [];
    });
    const before = current;
    const completed = pending.filter(isCompleted).sort(byCompletion);
    const open = pending.filter(vertex => !isCompleted(vertex));
    if (before && completed.includes(before)) printVertex(before);
    for (const vertex of completed) if (vertex !== before) printVertex(vertex);
    if (open.length === 0) {
      if (before && isStarted(before) && !isCompleted(before)) return;
      const next = firstOpen();
      if (next) printVertex(next);
      return;
    }
    if (before && open.includes(before)) printVertex(before);
    const rivals = before && !open.includes(before) ? [...open, before] : open;
    const choice = fairest(rivals, before, now, before === undefined || completed.includes(before));
    if (choice) printVertex(choice);
  }

  function firstOpen(): TracedVertex | undefined {
    for (const vertex of trace.byDigest.values()) {
      if (isStarted(vertex) && !isCompleted(vertex) && !vertex.hidden) return vertex;
    }
    return undefined;
  }

  function flush(): void {
    if (out !== '') write(out);
    out = '';
  }

  return {
    take: (batch, now) => takeBatch(trace, batch, now),
    print(now) {
      printDue(now);
      flush();
    },
    finish(now) {
      printDue(now);
      out += errorBlocks(trace.shown, vertex =>
        [...(blocks.get(vertex)?.lastLines ?? []), ...vertex.lines].slice(-ERROR_LINES),
      );
      flush();
    },
  };
}

/** The vertex whose turn it is: a busy one, one that waited too long, or none when the current one may go on. */
function fairest(
  rivals: readonly TracedVertex[],
  current: TracedVertex | undefined,
  now: number,
  free: boolean,
): TracedVertex | undefined {
  const stats = rivals.map(vertex => {
    const waited = (now - vertex.blockTime) / 1000;
    return {
      vertex,
      waited,
      speed: vertex.updates / waited,
      overLimit: waited > MAX_WAIT_SECONDS && vertex !== current,
    };
  });
  let best: (typeof stats)[number] | undefined;
  for (const stat of stats) if (!best || stat.overLimit || best.speed < stat.speed) best = stat;
  if (free) return best?.vertex;
  const waiting = stats.find(stat => stat.overLimit);
  if (waiting) return waiting.vertex;
  const own = stats.find(stat => stat.vertex === current);
  const share = (own?.speed ?? 0) / stats.reduce((sum, stat) => sum + stat.speed, 0);
  return (1 / (1 - share)) * ANTI_FLICKER_SECONDS < (own?.waited ?? 0) ? best?.vertex : undefined;
}

function byCompletion(a: TracedVertex, b: TracedVertex): number {
  const left = a.merged.at(-1)?.stop ?? 0n;
  const right = b.merged.at(-1)?.stop ?? 0n;
  return left < right ? -1 : left > right ? 1 : 0;
}

function isWorthPrinting(status: StatusEvent, last: StatusEvent | undefined): boolean {
  if (!last || status.completed !== undefined) return true;
  const advance = status.total > 0 ? (status.current - last.current) / status.total : 0;
  return advance >= MIN_STATUS_ADVANCE || toSeconds(status.timestamp - last.timestamp) >= MIN_STATUS_DELAY_SECONDS;
}
