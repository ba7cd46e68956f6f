import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN } from './cli.ts';

/** `outcrop serve` on a root of its own; ended and gone when disposed. */
export interface TestDaemon extends AsyncDisposable {
  /** `unix://…`. */
  readonly address: string;
  readonly root: string;
  readonly process: ChildProcess;
  /** What it has said so far. */
  log(): string;
}

/** Starts the bundled daemon on a socket. @param flags besides `--root` and `--addr` */
export async function startDaemon(flags: readonly string[] = []): Promise<TestDaemon> {
  const root = mkdtempSync(join(tmpdir(), 'outcrop-daemon-'));
  const address = `unix://${join(root, 'daemon.sock')}`;
  const child = spawn(process.execPath, [MAIN, 'serve', '--root', root, '--addr', address, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
      if (log.includes('running server')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`outcrop serve ended: ${log}`)));
  });
  return {
    address,
    root,
    process: child,
    log: () => log,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        // Whoever still holds a connection has no more use for it.
        const hurry = setTimeout(() => child.kill('SIGTERM'), 2000);
        await ended;
        clearTimeout(hurry);
      }
      await rm(root, { recursive: true, force: true });
    },
  };
}
