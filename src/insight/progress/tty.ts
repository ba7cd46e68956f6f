import type { Timestamp } from '../../engine/status/event.ts';
import { errorBlocks, isCanceled, toBytes } from './error-block.ts';
import { formatProgressBytes, toFixedHalfEven, toSeconds } from './go-format.ts';
import { type Interval, totalDuration } from './interval.ts';
import { createLogWindow, type LogWindow } from './log-window.ts';
import type { Palette } from './palette.ts';
import type { ByteSink, Renderer } from './renderer.ts';
import { createTrace, isCompleted, isStarted, type Trace, type TracedVertex, takeBatch } from './trace.ts';

const WINDOW_PADDING = 10;
const WINDOW_MIN_HEIGHT = 6;
const NAME_MIN_WIDTH = 12;

export interface TtyOptions {
  readonly write: ByteSink;
  /** Columns and rows of the terminal, asked for at each message. */
  readonly size: () => { readonly width: number; readonly height: number };
  readonly palette: Palette;
  /** Lines of a log window (`BUILDKIT_TTY_LOG_LINES`). */
  readonly logLines?: number;
  readonly description?: string;
  /** What the header says is going on. */
  readonly phase?: string;
}

/** One line of the display: a vertex, a status of it, or a warning. */
interface Job {
  readonly name: string;
  readonly status: string;
  readonly intervals: readonly Interval[];
  readonly completed: boolean;
  readonly failed: boolean;
  readonly canceled: boolean;
  readonly vertex?: TracedVertex;
}

interface Window {
  readonly terminal: LogWindow;
  bytes: number;
  framesShown: number;
}

/** BuildKit's terminal display: all steps, redrawn in place, with the last lines of those that run. */
export function createTtyRenderer(options: TtyOptions): Renderer {
  const { write, palette, phase = 'Building', description } = options;
  const trace = createTrace();
  const windows = new Map<TracedVertex, Window>();
  let size = options.size();
  let lineCount = 0;
  let repeated = false;

  function windowHeight(): number {
    return Math.max(
      WINDOW_MIN_HEIGHT,
      Math.min(options.logLines ?? WINDOW_MIN_HEIGHT, size.height - WINDOW_MIN_HEIGHT - 1),
    );
  }

  function windowWidth(): number {
    return Math.max(1, size.width - WINDOW_PADDING);
  }

  function takeLog(vertex: TracedVertex, data: Uint8Array): void {
    let window = windows.get(vertex);
    if (!window) {
      window = { terminal: createLogWindow(windowHeight(), windowWidth()), bytes: 0, framesShown: 0 };
      windows.set(vertex, window);
    }
    window.terminal.resize(windowHeight(), windowWidth());
    window.bytes += data.length;
    window.terminal.write(data);
  }

  /** The jobs that fit, and those of them whose window is open. */
  function choose(jobs: readonly Job[], all: boolean): { visible: readonly Job[]; open: ReadonlySet<Job> } {
    const weight = (job: Job) => {
      const window = job.vertex && windows.get(job.vertex);
      return window ? window.bytes + window.framesShown * 50 : 0;
    };
    const candidates = jobs.filter(job => !job.completed && weight(job) > 0).sort((a, b) => weight(b) - weight(a));
    const open = new Set<Job>();
    let rows = 0;
    let free = size.height - 2 - jobs.filter(job => !job.completed).length;
    for (const job of candidates) {
      if (free <= windowHeight() + 3) break;
      open.add(job);
      rows += (job.vertex && windows.get(job.vertex)?.terminal.usedHeight()) ?? 0;
      free -= windowHeight() + 3;
    }
    return { visible: all ? jobs : fit(jobs, size.height - 2 - rows), open };
  }

  function frame(now: number, last: boolean): void {
    const time = localTime(trace, now);
    const { visible, open } = choose(jobsOf(trace), last);
    let out = '\x1b[1A'.repeat(lineCount + 1);
    if (!repeated) out += '\x1b[1B';
    repeated = true;
    out += '\x1b[0G\x1b[?25l';
    out += header(trace, time, last);
    let lines = 0;
    for (const job of visible) {
      const line = jobLine(job, time, size.width);
      if (line === undefined) continue;
      out += job.completed ? palette.paint(job.failed ? 'error' : job.canceled ? 'cancel' : 'run', line) : line;
      lines++;
      const window = open.has(job) && job.vertex ? windows.get(job.vertex) : undefined;
      if (!window) continue;
      window.terminal.resize(windowHeight(), windowWidth());
      for (const row of window.terminal.rows()) {
        if (/^ *$/.test(row)) continue;
        out += palette.faint(toBytes(` => => # ${row}\n`));
        lines++;
      }
      window.framesShown++;
    }
    const fewer = lineCount - lines;
    if (fewer > 0) out += `${`${' '.repeat(size.width)}\n`.repeat(fewer)}\x1b[${fewer}A\x1b[0G`;
    lineCount = lines;
    write(`${out}\x1b[?25h`);
  }

  function header({ startTime, byDigest }: Trace, time: Timestamp, last: boolean): string {
    const vertexes = [...byDigest.values()].filter(vertex => !vertex.hidden);
    const done = vertexes.filter(isCompleted).length;
    const status = last && done === vertexes.length ? 'FINISHED' : '';
    const elapsed = toFixedHalfEven(startTime === undefined ? 0 : toSeconds(time - startTime), 1);
    const left = `[+] ${phase} ${elapsed}s (${done}/${vertexes.length}) ${status}`;
    const right = description ? toBytes(description) : '';
    return `${align(left, right, right === '' ? size.width : size.width - 1).slice(0, size.width)}\n`;
  }

  return {
    take(batch, now) {
      size = options.size();
      takeBatch(trace, batch, now, takeLog);
    },
    print: now => frame(now, false),
    finish(now) {
      frame(now, true);
      write(errorBlocks(trace.shown, vertex => vertex.lines));
    },
  };
}

/** The clock of the events at a local time, by the shift that the first start has shown. */
function localTime({ firstStart }: Trace, now: number): Timestamp {
  if (!firstStart) return 0n;
  return firstStart.at + BigInt(Math.round((now - firstStart.seen) * 1e6));
}

function jobsOf(trace: Trace): Job[] {
  return trace.shown.flatMap(vertex => [vertexJob(vertex), ...statusJobs(vertex), ...warningJobs(vertex)]);
}

function vertexJob(vertex: TracedVertex): Job {
  const canceled = vertex.error !== '' && isCanceled(vertex.error);
  const failed = vertex.error !== '' && !canceled;
  const prefix = failed ? 'ERROR ' : canceled ? 'CANCELED ' : vertex.cached ? 'CACHED ' : '';
  const name = toBytes(prefix + vertex.name.replaceAll('\t', ' '));
  const completed = isStarted(vertex) && [...vertex.intervals.values()].every(interval => interval.stop !== undefined);
  return { name, status: '', intervals: vertex.merged, completed, failed, canceled, vertex };
}

function statusJobs(vertex: TracedVertex): Job[] {
  return vertex.started.flatMap(id => {
    const status = vertex.statuses.get(id);
    if (!status) return [];
    const { started: start, completed: stop, current, total } = status;
    const intervals = start === undefined ? [] : [stop === undefined ? { start } : { start, stop }];
    const bytes =
      total !== 0
        ? `${formatProgressBytes(current)} / ${formatProgressBytes(total)}`
        : current === 0
          ? ''
          : formatProgressBytes(current);
    return [
      {
        name: toBytes(`=> ${id}`),
        status: bytes,
        intervals,
        completed: stop !== undefined,
        failed: false,
        canceled: false,
      },
    ];
  });
}

function warningJobs(vertex: TracedVertex): Job[] {
  const last = vertex.merged.at(-1);
  return vertex.warnings.map(warning => ({
    name: toBytes(`WARN: ${warning}`),
    status: '',
    intervals: last ? [last] : [],
    completed: false,
    failed: false,
    canceled: false,
  }));
}

function jobLine(job: Job, time: Timestamp, width: number): string | undefined {
  if (job.intervals.length === 0) return undefined;
  const seconds = toSeconds(totalDuration(job.intervals, time));
  const timer = ` ${toFixedHalfEven(seconds < 0.05 ? 0 : seconds, 1).padStart(3)}s\n`;
  let left = width - ' => '.length - timer.length - 1;
  const showStatus = job.status !== '' && left + job.status.length > 20;
  if (showStatus) left -= job.status.length + 1;
  if (left < NAME_MIN_WIDTH) return undefined;
  return align(` => ${job.name.slice(0, left)}${showStatus ? ` ${job.status}` : ''}`, timer, width);
}

/** `left`, blanks (at least one), `right`, together `width` characters; strings hold bytes, widths count characters. */
function align(left: string, right: string, width: number): string {
  const characters = [...Buffer.from(left, 'latin1').toString()].length;
  return `${left}${' '.repeat(Math.max(0, width - right.length - 1 - characters))} ${right}`;
}

/**
 * The last `limit` jobs; running ones above them push out completed ones and stand on top.
 */
function fit(jobs: readonly Job[], limit: number): readonly Job[] {
  if (limit < 0) return [];
  if (jobs.length <= limit) return jobs;
  const kept = jobs.slice(jobs.length - limit);
  const cut = jobs.slice(0, jobs.length - limit).filter(job => !job.completed);
  const rest = kept.filter((job, index) => !job.completed || index >= cut.length);
  const free = kept.length - rest.length;
  return [...(free > 0 ? cut.slice(-free) : []), ...rest];
}
