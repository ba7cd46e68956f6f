/**
 * What keeping the history costs: CPU time of recording as a share of the build that is recorded, bytes of disk a step, and
 * `outcrop why` on a history of many builds. CPU time, because it is the same on a busy machine.
 *
 * The events of real builds are recorded again and again, so that nothing but recording is measured.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BuildEvent } from '../src/engine/status/event.ts';
import { runEmbeddedBuild } from '../src/entry/builder/embedded-build.ts';
import { type Engine, openEngine } from '../src/entry/builder/engine.ts';
import { buildStart, recordBuild } from '../src/entry/builder/record-build.ts';
import { type BuildRequest, PLAIN_REQUEST } from '../src/entry/builder/request.ts';
import { enterPrivateMountNamespace } from '../src/host/system/namespace.ts';
import { BASE_IMAGES } from '../test/support/base-image.ts';
import { median } from './builders.ts';
import { writeSmallFiles } from './fixture.ts';

// The engine enters it before anything asynchronous runs.
enterPrivateMountNamespace();

const { values } = parseArgs({
  options: { builds: { type: 'string', default: '1000' }, rounds: { type: 'string', default: '15' } },
});
const rounds = Number(values.rounds);
const signal = new AbortController().signal;
const work = mkdtempSync(join(tmpdir(), 'outcrop-bench-history-'));
const context = join(work, 'context');
const root = join(work, 'root');

/** CPU time of this process, in milliseconds. */
async function cpuOf(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function writeDockerfile(lines: readonly string[]): void {
  writeFileSync(join(context, 'Dockerfile'), ['FROM base', ...lines, ''].join('\n'));
}

function requestOf(noCache: BuildRequest['noCache']): BuildRequest {
  return {
    ...PLAIN_REQUEST,
    context: { kind: 'directory', dir: context },
    dockerfile: { kind: 'file', dir: context, filename: 'Dockerfile' },
    namedContexts: new Map([['base', `oci-layout://${BASE_IMAGES}:latest`]]),
    noCache,
  };
}

/** A build that is not recorded: its events, and what it cost. */
async function watched(engine: Engine, request: BuildRequest): Promise<{ events: BuildEvent[]; cpu: number }> {
  const events: BuildEvent[] = [];
  const cpu = await cpuOf(() => runEmbeddedBuild(engine, request, event => events.push(event), signal));
  return { events, cpu };
}

/** Records a build that was watched. */
function record(engine: Engine, request: BuildRequest, events: readonly BuildEvent[]): Promise<unknown> {
  return recordBuild(
    engine,
    startedAt => buildStart(request, startedAt),
    () => undefined,
    signal,
    async emit => {
      for (const event of events) emit(event);
      return { response: {} };
    },
  );
}

/** Bytes of the database that hold something. */
function usedBytes({ database: { sql } }: Engine): number {
  const number = (pragma: string) => Number(Object.values(sql.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  return (number('page_count') - number('freelist_count')) * number('page_size');
}

function report(
  name: string,
  steps: number,
  builds: readonly number[],
  records: readonly number[],
  bytes: number,
): void {
  // The least of several: what a busy machine adds is no part of it.
  const [build, recording] = [Math.min(...builds), Math.min(...records)];
  console.log(
    `${name.padEnd(44)} ${build.toFixed(1).padStart(8)} ms ${recording.toFixed(2).padStart(8)} ms ${((100 * recording) / build).toFixed(1).padStart(6)} % ${(bytes / steps).toFixed(0).padStart(6)} B`,
  );
}

/** Measures recording, and leaves a history behind. */
async function measureRecording(): Promise<void> {
  mkdirSync(context, { recursive: true });
  writeSmallFiles(join(context, 'src'), 10_000);
  await using engine = await openEngine({ root }, signal);
  const runs = (count: number) => Array.from({ length: count }, (_, index) => `RUN echo ${index} > /step${index}`);
  const latest: { request: BuildRequest; events: BuildEvent[] }[] = [];

  /** @param next - changes something before each build */
  async function measure(name: string, steps: number, noCache: BuildRequest['noCache'], next: (round: number) => void) {
    const request = requestOf(noCache);
    await record(engine, request, (await watched(engine, request)).events);
    const [builds, records, sizes]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < rounds; round++) {
      next(round);
      const { events, cpu } = await watched(engine, request);
      builds.push(cpu);
      records.push(await cpuOf(() => record(engine, request, events)));
      // What is new of the parts is stored by now: the same again is what a step costs.
      const before = usedBytes(engine);
      for (let again = 0; again < 10; again++) await record(engine, request, events);
      sizes.push((usedBytes(engine) - before) / 10);
      if (round === 0) latest.push({ request, events });
    }
    report(name, steps, builds, records, sizes.reduce((sum, size) => sum + size, 0) / sizes.length);
  }

  console.log(
    `${''.padEnd(44)} ${'build'.padStart(11)} ${'recording'.padStart(11)} ${'share'.padStart(8)} ${'a step'.padStart(8)}`,
  );
  writeDockerfile(['WORKDIR /app', 'COPY src /app/src', ...runs(17)]);
  await measure('nothing changed, 20 steps, 10,000 files', 20, [], () => undefined);
  await measure('one file changed, 20 steps, 10,000 files', 20, [], round =>
    writeFileSync(join(context, 'src/d7/f700.txt'), `round ${round}\n`),
  );
  writeDockerfile(runs(40));
  await measure('40 RUN steps, none cached', 40, 'all', () => undefined);

  const count = Number(values.builds);
  for (let index = 0; index < count; index++) {
    const { request, events } = latest[index % 2] ?? { request: requestOf([]), events: [] };
    await record(engine, request, events);
  }
}

/** Measures `outcrop why`. */
function measureWhy(): void {
  const [wall, cpu]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    const { stdout, status } = spawnSync(
      'sh',
      ['-c', `"${process.execPath}" bin/outcrop.js why > /dev/null && times`],
      {
        env: { ...process.env, OUTCROP_ROOT: root },
        encoding: 'utf8',
      },
    );
    if (status !== 0) throw new Error('outcrop why failed');
    wall.push(performance.now() - begin);
    const [, children = ''] = stdout.split('\n');
    const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(
      ([, minutes, rest]) => 60 * Number(minutes) + Number(rest),
    );
    cpu.push(1000 * seconds.reduce((sum, one) => sum + one, 0));
  }
  console.log(
    `\noutcrop why, ${values.builds} builds: ${median(wall).toFixed(0)} ms, CPU ${median(cpu).toFixed(0)} ms`,
  );
}

try {
  await measureRecording();
  measureWhy();
} finally {
  rmSync(work, { recursive: true, force: true });
}
