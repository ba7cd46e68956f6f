import { spawn, spawnSync } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { openPipe } from '../system/pipe.ts';
import { RuntimeError } from './exit-error.ts';

/** BuildKit forwards output in pieces of at most this many bytes. */
const PIECE = 32 * 1024;
const KILL_INTERVAL = 50;
/** How long the kernel gets to end a killed process before the runtime itself is taken away. */
const KILL_PATIENCE = 10_000;

/** One call of an OCI runtime. */
export interface ContainerOptions {
  /** The runtime's binary and its global arguments. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly id: string;
  readonly bundle: string;
  readonly pidFile: string;
  readonly stdout: (chunk: Uint8Array) => void;
  readonly stderr: (chunk: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs a container in the foreground until its first process has ended and both its outputs are closed. When the signal
 * fires, everything in it is killed. Throws `RuntimeError` if the runtime cannot be started.
 *
 * @returns The exit code, 128 and the signal's number when a signal ended it, 255 if it is unknown.
 */
export async function runContainer(options: ContainerOptions): Promise<number> {
  const [binary, ...global] = options.command;
  const args = [...global, 'run', '--bundle', options.bundle, '--pid-file', options.pidFile, options.id];
  const [out, err] = [openPipe(), openPipe()];
  const closed = [drain(out.read, options.stdout), drain(err.read, options.stderr)];
  // A session of its own keeps the terminal's Ctrl-C from the runtime: we decide what it means.
  const child = spawn(binary, args, {
    stdio: ['ignore', out.write, err.write],
    env: options.environment,
    detached: true,
  });
  closeSync(out.write);
  closeSync(err.write);
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', error =>
      reject(new RuntimeError(`cannot start ${binary}: ${error.message}`, { cause: error })),
    );
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 255 : 137)));
  });
  let stop: (() => void) | undefined;
  if (options.signal !== undefined && child.pid !== undefined) {
    const pid = child.pid;
    stop = () => void killUntil(options, pid, exited).catch(() => undefined);
    options.signal.addEventListener('abort', stop, { once: true });
    if (options.signal.aborted) stop();
  }
  try {
    const code = await exited;
    await Promise.all(closed);
    return code;
  } finally {
    if (stop !== undefined) options.signal?.removeEventListener('abort', stop);
  }
}

/** Reads a pipe to its end and closes it. */
function drain(descriptor: number, sink: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise(resolve => {
    const socket = new Socket({
      fd: descriptor,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafe(PIECE),
        callback: (length, buffer) => {
          sink(Uint8Array.prototype.slice.call(buffer, 0, length));
          return true;
        },
      },
    });
    socket.once('close', () => resolve());
    socket.once('error', () => socket.destroy());
    socket.resume();
  });
}

/** Kills a container's first process, and with it all others, again and again until the runtime has seen it end. */
async function killUntil(options: ContainerOptions, runtime: number, exited: Promise<number>): Promise<void> {
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
      signalProcess(runtime);
      await end;
      deleteContainer(options.command, options.environment, options.id);
      return;
    }
    await Promise.race([end, delay(KILL_INTERVAL)]);
  }
}

function killFirstProcess(pidFile: string, runtime: number): void {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    // The number is the container's as long as the runtime has not collected it.
    const parent = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
    if (Number(parent) === runtime) signalProcess(pid);
  } catch {
    // Not started yet, or gone.
  }
}

function signalProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
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
