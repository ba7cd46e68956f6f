/**
 * Fuzzes the readers of the language for as long as one likes: `node test/fuzz/run.ts --minutes N --seed S`; `--from` goes on at
 * a case, `--case` runs just that one and shows its input. Each finding is printed once, with the number of its case.
 *
 * The work is done in a thread, so that a case that never ends is a finding too.
 */

import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { caseOf } from './fuzz.ts';

interface Orders {
  readonly seed: number;
  readonly from: number;
  readonly until: number;
  /** Where the thread writes the number of the case it is at. */
  readonly at: SharedArrayBuffer;
}

type Report =
  | { readonly kind: 'finding'; readonly index: number; readonly what: string }
  | { readonly kind: 'done'; readonly index: number };

const MINUTE = 60_000;
/** Milliseconds of the processor after which a case counts as endless, and of the clock, for one that waits. */
const ENDLESS = { busy: MINUTE, waiting: 30 * MINUTE };

if (isMainThread) await lead();
else await work(workerData as Orders);

async function lead(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      from: { type: 'string', default: '0' },
      case: { type: 'string' },
    },
  });
  const seed = Number(values.seed);
  if (values.case !== undefined) {
    const { subject, input, run } = caseOf(seed, Number(values.case));
    console.log(`${subject}: ${JSON.stringify(input.toString())}`);
    await run();
    return;
  }
  const start = Number(values.from);
  const until = Date.now() + Number(values.minutes) * MINUTE;
  const at = new SharedArrayBuffer(4);
  const current = new Int32Array(at);
  const findings = new Map<string, number>();
  console.log(`seed ${seed}`);
  let from = start;
  while (Date.now() < until) {
    from = await watch({ seed, from, until, at }, current, (index, what) => {
      const key = what.split('\n').slice(0, 2).join('\n').replaceAll(/\d+/g, 'N');
      const times = findings.get(key) ?? 0;
      findings.set(key, times + 1);
      if (times === 0) console.log(`case ${index}: ${shown(seed, index)}\n${what}\n`);
    });
  }
  console.log(`${from - start} cases, ${findings.size} findings`);
  for (const [key, times] of findings) console.log(`${times} times: ${key}`);
  process.exitCode = findings.size === 0 ? 0 : 1;
}

function shown(seed: number, index: number): string {
  const { subject, input } = caseOf(seed, index);
  return `${subject} ${JSON.stringify(input.toString().slice(0, 2000))}`;
}

/** Runs a thread until it is done or hangs; returns the number of the case to go on with. */
function watch(orders: Orders, current: Int32Array, onFinding: (index: number, what: string) => void): Promise<number> {
  Atomics.store(current, 0, orders.from);
  const worker = new Worker(new URL(import.meta.url), { workerData: orders });
  return new Promise((done, failed) => {
    let last = orders.from;
    let since = Date.now();
    let spent = process.cpuUsage();
    let told = Date.now();
    const timer = setInterval(() => {
      const index = Atomics.load(current, 0);
      if (index !== last) {
        last = index;
        since = Date.now();
        spent = process.cpuUsage();
      } else if (process.cpuUsage(spent).user / 1000 > ENDLESS.busy || Date.now() - since > ENDLESS.waiting) {
        onFinding(index, 'does not end');
        stop(index + 1);
      }
      if (Date.now() - told > MINUTE) {
        told = Date.now();
        console.log(`${new Date().toISOString()} at case ${index}`);
      }
    }, 1000);
    const stop = (next: number) => {
      clearInterval(timer);
      worker.removeAllListeners();
      void worker.terminate().then(() => done(next), failed);
    };
    worker.on('message', (report: Report) => {
      if (report.kind === 'finding') onFinding(report.index, report.what);
      else stop(report.index);
    });
    // Memory that runs out ends the thread, not the program.
    worker.on('error', error => {
      const index = Atomics.load(current, 0);
      onFinding(index, String(error));
      stop(index + 1);
    });
  });
}

async function work({ seed, from, until, at }: Orders): Promise<void> {
  const current = new Int32Array(at);
  let index = from;
  for (; Date.now() < until; index++) {
    Atomics.store(current, 0, index);
    try {
      await caseOf(seed, index).run();
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? String(error)) : String(error);
      report({ kind: 'finding', index, what });
    }
  }
  report({ kind: 'done', index });
}

function report(message: Report): void {
  parentPort?.postMessage(message);
}
