import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { setWindowSize } from '../system/pty.ts';
import { RuntimeError } from './exit-error.ts';
import { openStreams, type ProcessStreams } from './process-streams.ts';

const KILL_INTERVAL = 50;
const START_INTERVAL = 5;
/** How long a process that has begun gets to take its terminal. */
const TERMINAL_PATIENCE = 5000;
/** How long the kernel gets to end a killed process before the runtime itself is taken away. */
const KILL_PATIENCE = 10_000;

/** One call of an OCI runtime. */
export interface RuntimeCall extends ProcessStreams {
  /** The runtime's binary and its global arguments. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly id: string;
  readonly pidFile: string;
  readonly signal?: AbortSignal;
  /** Told once the process runs. */
  readonly onStarted?: (control: ProcessControl) => void;
}

/** A container to run. */
export interface ContainerOptions extends RuntimeCall {
  readonly bundle: string;
}

/** A process to run in a container that runs already. */
export interface ExecOptions extends RuntimeCall {
  /** Its description in the runtime's form (`process` of config.json). */
  readonly processFile: string;
}

/** Speaks to a process that runs. */
export interface ProcessControl {
  /** Sends it a signal, by its number. Does nothing once it has ended. */
  signal(number: number): void;
  /** Tells its terminal how large it is, in characters. */
  resize(rows: number, columns: number): void;
}

/**
 * Runs a container in the foreground until its first process has ended and both its outputs are closed. When the signal
 * fires, everything in it is killed. Throws `RuntimeError` if the runtime cannot be started.
 *
 * @returns The exit code, 128 and the signal's number when a signal ended it, 255 if it is unknown.
 */
export async function runContainer(options: ContainerOptions): Promise<number> {
  return callRuntime(['run', '--bundle', options.bundle, '--pid-file', options.pidFile, options.id], options);
}

/** The same for a further process in a container that runs. */
export async function execInContainer(options: ExecOptions): Promise<number> {
  const { processFile, pidFile, id } = options;
  return callRuntime(['exec', '--process', processFile, '--pid-file', pidFile, id], options);
}

async function callRuntime(args: readonly string[], options: RuntimeCall): Promise<number> {
  const [binary, ...global] = options.command;
  const streams = openStreams(options);
  // A session of its own keeps the terminal's Ctrl-C from the runtime: we decide what it means.
  const child = spawn(binary, [...global, ...args], {
    stdio: [...streams.stdio],
    env: options.environment,
    detached: true,
  });
  streams.started();
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', error =>
      reject(new RuntimeError(`cannot start ${binary}: ${error.message}`, { cause: error })),
    );
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 255 : 137)));
  });
  const { pid } = child;
  let stop: (() => void) | undefined;
  if (options.signal !== undefined && pid !== undefined) {
    stop = () => void killUntil(options, pid, exited).catch(() => undefined);
    options.signal.addEventListener('abort', stop, { once: true });
    if (options.signal.aborted) stop();
  }
  if (options.onStarted !== undefined && pid !== undefined) {
    void watchStart(options, options.onStarted, pid, exited, streams.resize);
  }
  try {
    const code = await exited;
    streams.ended();
    await streams.closed;
    return code;
  } finally {
    streams.ended();
    if (stop !== undefined) options.signal?.removeEventListener('abort', stop);
  }
}

/** Waits for the process to run, and says so. */
async function watchStart(
  options: RuntimeCall,
  onStarted: (control: ProcessControl) => void,
  runtime: number,
  exited: Promise<number>,
  resizeOutside: ProcessControl['resize'],
): Promise<void> {
  let running = true;
  const end = () => {
    running = false;
  };
  exited.then(end, end);
  let size: readonly [number, number] | undefined;
  /** Not every runtime passes the size of its own terminal on to the one inside, so that is told itself. */
  const resizeInside = async () => {
    for (let waited = 0; running && size !== undefined && waited < TERMINAL_PATIENCE; waited += START_INTERVAL) {
      const pid = firstProcess(options.pidFile, runtime);
      if (pid !== undefined && resizeTerminalOf(pid, runtime, size)) return;
      await delay(START_INTERVAL);
    }
  };
  while (running) {
    if (firstProcess(options.pidFile, runtime) !== undefined) {
      onStarted({
        signal(number) {
          const pid = running ? firstProcess(options.pidFile, runtime) : undefined;
          if (pid !== undefined) signalProcess(pid, number);
        },
        resize(rows, columns) {
          resizeOutside(rows, columns);
          size = [rows, columns];
          if (options.terminal === true) void resizeInside();
        },
      });
      return;
    }
    await delay(START_INTERVAL);
  }
}

/** Kills a container's first process, and with it all others, again and again until the runtime has seen it end. */
async function killUntil(options: RuntimeCall, runtime: number, exited: Promise<number>): Promise<void> {
  let running = true;
  const end = exited.then(
    () => {
      running = false;
    },
    () => {
      running = false;
    },
  );
  for (let waited = 0; running; waited += KILL_INTERVAL) {
    killFirstProcess(options.pidFile, runtime);
    if (waited > KILL_PATIENCE) {
      // The runtime hangs: take it away, then what it ran.
      signalProcess(runtime, 'SIGKILL');
      await end;
      deleteContainer(options.command, options.environment, options.id);
      return;
    }
    await Promise.race([end, delay(KILL_INTERVAL)]);
  }
}

function killFirstProcess(pidFile: string, runtime: number): void {
  const pid = firstProcess(pidFile, runtime);
  if (pid !== undefined) signalProcess(pid, 'SIGKILL');
}

function firstProcess(pidFile: string, runtime: number): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    // The number is the container's as long as the runtime has not collected it.
    const parent = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
    return Number(parent) === runtime ? pid : undefined;
  } catch {
    // Not started yet, or gone.
    return undefined;
  }
}

/** @returns false while the process reads no terminal but its runtime's: it has only begun. */
function resizeTerminalOf(pid: number, runtime: number, [rows, columns]: readonly [number, number]): boolean {
  try {
    const own = `/proc/${pid}/fd/0`;
    const outside = statSync(`/proc/${runtime}/fd/0`);
    const { dev, ino } = statSync(own);
    if (dev === outside.dev && ino === outside.ino) return false;
    const terminal = openSync(own, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    try {
      setWindowSize(terminal, rows, columns);
    } finally {
      closeSync(terminal);
    }
    return true;
  } catch {
    return false;
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals | number): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone.
  }
}

/** Kills a container, if it runs, and removes what the runtime noted about it. Never throws. */
export function deleteContainer(
  command: readonly [string, ...string[]],
  environment: Readonly<Record<string, string>>,
  id: string,
): void {
  const [binary, ...global] = command;
  spawnSync(binary, [...global, 'delete', '--force', id], {
    stdio: 'ignore',
    env: environment,
    timeout: KILL_PATIENCE,
  });
}
