import type { BuildEvent, EventSink, WarningEvent } from '../../engine/status/event.ts';
import { batchOf } from './batch.ts';
import { createOrderedRenderer } from './ordered.ts';
import { createPacer } from './pacer.ts';
import { paletteFrom } from './palette.ts';
import { createPlainRenderer } from './plain.ts';
import { rawJsonLine } from './rawjson.ts';
import type { Renderer } from './renderer.ts';
import { createTtyRenderer } from './tty.ts';

/** The values of `--progress`. */
export const PROGRESS_MODES = ['auto', 'plain', 'tty', 'ordered', 'rawjson', 'quiet', 'none'] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

/** What a display needs of the stream that it writes to. */
export interface DisplayStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(data: Uint8Array | string): unknown;
}

export interface Display {
  readonly sink: EventSink;
  /** Warnings seen so far, each once. */
  readonly warnings: () => readonly WarningEvent[];
  /** Prints what is left and stops. */
  finish(): void;
}

/** The mode that is really used: `auto` follows `BUILDKIT_PROGRESS`, then the terminal. */
function chooseMode(
  mode: ProgressMode,
  stream: DisplayStream,
  environment: Readonly<Record<string, string | undefined>>,
): ProgressMode {
  if (mode !== 'auto') return mode;
  const wanted = PROGRESS_MODES.find(candidate => candidate === environment['BUILDKIT_PROGRESS']);
  if (wanted && wanted !== 'auto') return wanted;
  return stream.isTTY ? 'tty' : 'plain';
}

/**
 * Shows the events of a build on a stream in one of the modes, at BuildKit's pace.
 * @throws Error for `tty` without a terminal.
 */
export function createDisplay(
  mode: ProgressMode,
  stream: DisplayStream,
  environment: Readonly<Record<string, string | undefined>>,
): Display {
  const chosen = chooseMode(mode, stream, environment);
  const warnings = new Map<string, WarningEvent>();
  const note = (event: BuildEvent) => {
    if (event.kind !== 'warning') return;
    const { start } = event.ranges?.[0] ?? { start: { line: 0 } };
    warnings.set(`${Buffer.from(event.short)}\0${event.sourceInfo?.filename}\0${start.line}`, event);
  };
  const seen = () => [...warnings.values()];
  if (chosen === 'quiet' || chosen === 'none') return { sink: note, warnings: seen, finish: () => undefined };
  if (chosen === 'rawjson') {
    const sink: EventSink = event => {
      note(event);
      stream.write(rawJsonLine(batchOf([event])));
    };
    return { sink, warnings: seen, finish: () => undefined };
  }
  const paced = startPaced(rendererFor(chosen, stream, environment));
  const sink: EventSink = event => {
    note(event);
    paced.sink(event);
  };
  return { sink, warnings: seen, finish: paced.finish };
}

function rendererFor(
  mode: ProgressMode,
  stream: DisplayStream,
  environment: Readonly<Record<string, string | undefined>>,
): Renderer {
  const write = (bytes: string) => stream.write(Buffer.from(bytes, 'latin1'));
  if (mode === 'ordered') return createOrderedRenderer({ write });
  if (mode === 'plain') return createPlainRenderer({ write, truncate: environment['PROGRESS_NO_TRUNC'] === '0' });
  if (!stream.isTTY)
    throw new Error('--progress=tty: failed to get console: standard error is no terminal; use plain or auto');
  const logLines = Number.parseInt(environment['BUILDKIT_TTY_LOG_LINES'] ?? '', 10);
  return createTtyRenderer({
    write,
    size: () => ({ width: stream.columns || 80, height: stream.rows || 10 }),
    palette: paletteFrom(environment, text => stream.write(`${text}\n`)),
    ...(Number.isNaN(logLines) ? {} : { logLines }),
  });
}

/** Collects the events of a turn of the event loop into one message, as BuildKit's stream does. */
function startPaced(renderer: Renderer): { sink: EventSink; finish: () => void } {
  const pacer = createPacer(renderer, performance.now());
  let waiting: BuildEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  const takeWaiting = () => {
    if (waiting.length === 0) return;
    const events = waiting;
    waiting = [];
    pacer.take(batchOf(events), performance.now());
    schedule();
  };
  const schedule = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => {
        pacer.tick(performance.now());
        schedule();
      },
      Math.max(0, pacer.nextTick - performance.now()),
    ).unref();
  };
  schedule();
  return {
    sink(event) {
      if (waiting.length === 0) setImmediate(takeWaiting);
      waiting.push(event);
    },
    finish() {
      takeWaiting();
      clearTimeout(timer);
      pacer.finish(performance.now());
    },
  };
}
