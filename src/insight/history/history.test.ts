import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BuildEvent, KeyPart } from '../../engine/status/event.ts';
import { openDatabase } from '../../store/database.ts';
import type { BuildStart } from './build-record.ts';
import { openHistory } from './history-store.ts';
import { buildRecorder } from './recorder.ts';

const root = mkdtempSync(join(tmpdir(), 'outcrop-history-'));
const database = openDatabase(root);
after(() => {
  database[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

const start = (id: string, context = '/src/app'): BuildStart => ({
  id,
  startedAt: 1000,
  context,
  dockerfile: `${context}/Dockerfile`,
  options: { target: 'final' },
});

test('a build is recorded from its events and read back', () => {
  const history = openHistory(database);
  const recorder = buildRecorder(1_000_000_000n);
  let named = 0;
  const parts = (): KeyPart[] => {
    named++;
    return [{ kind: 'file', name: '/a', value: '0644 sha256:aa' }];
  };
  const events: BuildEvent[] = [
    {
      kind: 'plan',
      dockerfile: { filename: 'Dockerfile', data: Buffer.from('FROM scratch\nCOPY a /\n') },
      platforms: [
        { id: 'linux/amd64', steps: [{ digest: 'b', stage: '', lines: { start: 2, end: 2 }, text: 'COPY a /' }] },
      ],
    },
    { kind: 'vertex', digest: 'a', inputs: [], name: '[internal] load build context', cached: false },
    { kind: 'vertex', digest: 'b', inputs: ['a'], name: '[1/1] COPY a /', cached: false },
    { kind: 'key', vertex: 'b', digest: 'def', source: 'definition', parts: [] },
    {
      kind: 'key',
      vertex: 'b',
      digest: 'content',
      source: 'content',
      input: 0,
      get parts() {
        return parts();
      },
    },
    { kind: 'vertex', digest: 'b', inputs: ['a'], name: '[1/1] COPY a /', cached: false, started: 1_002_000_000n },
    { kind: 'log', vertex: 'b', stream: 1, data: Buffer.from('line\n'.repeat(3000)), timestamp: 0n },
    {
      kind: 'vertex',
      digest: 'b',
      inputs: ['a'],
      name: '[1/1] COPY a /',
      cached: false,
      started: 1_002_000_000n,
      completed: 1_005_500_000n,
    },
    { kind: 'outcome', vertex: 'b', outcome: 'ran', cache: 'local', record: 'r1', createdAt: 1_005_500_000n },
  ];
  events.forEach(recorder.sink);
  assert.equal(named, 0, 'parts are named only when somebody asks');
  const { steps, logs, counts, dockerfile } = recorder.record();
  assert.deepEqual(counts, { steps: 1, cached: 0, ran: 1 });

  const running = history.begin(start('one'));
  assert.equal(history.find(running.number)?.status, 'running');
  const dockerfileText = history.saveText(dockerfile ?? Buffer.of());
  running.finish({ status: 'done', duration: 12.5, counts, dockerfileText }, steps, logs);

  const found = history.find('on');
  assert.deepEqual(found, {
    ...start('one'),
    number: running.number,
    status: 'done',
    duration: 12.5,
    counts,
    dockerfileText,
  });
  assert.equal(history.text(dockerfileText), 'FROM scratch\nCOPY a /\n');
  assert.deepEqual(history.steps(running.number), steps);
  const [, copy] = steps;
  assert.deepEqual(copy, {
    digest: 'b',
    name: '[1/1] COPY a /',
    inputs: [0],
    places: [{ stage: '', line: 2, text: 'COPY a /' }],
    outcome: 'ran',
    cache: 'local',
    record: 'r1',
    createdAt: 1005,
    start: 2,
    duration: 3.5,
    definitions: ['def'],
    keys: [{ content: 'content' }],
    logBytes: 15_000,
  });
  const log = Buffer.from(history.log(running.number, 1) ?? []);
  assert.match(log.toString(), /^line\n(line\n)+$/);
  assert.ok(log.length <= 8192 && log.length > 8000);
});

test('builds are listed by what they build, found by number, and removed with what only they had', () => {
  const history = openHistory(database);
  const counts = { steps: 0, cached: 0, ran: 0 };
  const other = history.begin(start('two', '/src/other'));
  const text = history.saveText(Buffer.from('FROM other'));
  other.finish({ status: 'failed', duration: 1, error: 'no', counts, dockerfileText: text }, [], []);
  const again = history.begin(start('three', '/src/other'));
  again.finish({ status: 'done', duration: 1, counts }, [], []);
  const numbers = history.list({ project: start('', '/src/other') }).map(({ number }) => number);
  assert.deepEqual(numbers, [again.number, other.number]);
  assert.deepEqual(
    history.list({ before: again.number, limit: 1 }).map(({ number }) => number),
    [other.number],
  );
  assert.equal(history.latestOfProcess()?.number, again.number);
  history.remove([other.number]);
  assert.equal(history.find(other.number), undefined);
  assert.equal(history.text(text), undefined);
});

test('a build whose process is gone was interrupted', () => {
  const history = openHistory(database);
  const { number } = history.begin(start('four'));
  database.sql.prepare('UPDATE history_build SET pid = 4194305 WHERE number = ?').run(number);
  assert.equal(history.find(number)?.status, 'interrupted');
});
