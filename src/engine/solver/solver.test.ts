import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { importedCache } from '../cache/imported-cache.ts';
import type { BuildEvent, OutcomeEvent, VertexEvent } from '../status/event.ts';
import { VertexError } from './errors.ts';
import { walkForExport } from './export-walk.ts';
import { type FakeOptions, type FakeResult, type FakeStep, fakeWorld } from './fake-steps.ts';

function step(name: string, inputs: FakeStep['inputs'] = [], more: Partial<FakeStep> = {}): FakeStep {
  return { name, does: name, inputs, ...more };
}

/** Vertex events as a progress display would read them. */
function shown(events: readonly BuildEvent[]): string[] {
  const names = new Map(events.flatMap(event => (event.kind === 'vertex' ? [[event.digest, event.name]] : [])));
  const describe = (event: VertexEvent) => {
    if (event.error !== undefined) return `${event.error}`;
    if (event.cached) return event.completed === undefined ? 'cached…' : 'CACHED';
    if (event.started === undefined) return 'announced';
    return event.completed === undefined ? 'started' : 'DONE';
  };
  return events.flatMap(event => (event.kind === 'vertex' ? [`${names.get(event.digest)} ${describe(event)}`] : []));
}

function outcomes(events: readonly BuildEvent[]): Record<string, OutcomeEvent> {
  const names = new Map(events.flatMap(event => (event.kind === 'vertex' ? [[event.digest, event.name]] : [])));
  return Object.fromEntries(
    events.flatMap(event => (event.kind === 'outcome' ? [[names.get(event.vertex) ?? '', event]] : [])),
  );
}

async function build(world: ReturnType<typeof fakeWorld>, target: FakeStep): Promise<BuildEvent[]> {
  const events: BuildEvent[] = [];
  await using job = world.open(events);
  await job.build(world.edge(target)).catch(() => {});
  await job[Symbol.asyncDispose]();
  return events;
}

const base = step('base');
const one = step('one', [{ step: base, selector: '/' }]);
const two = step('two', [{ step: one, selector: '/' }]);

test('a build is announced inputs first, and shown step by step', async () => {
  const events = await build(fakeWorld(), two);
  assert.deepEqual(shown(events), [
    'base announced',
    'one announced',
    'two announced',
    'base started',
    'base DONE',
    'base started',
    'base DONE',
    'one started',
    'one DONE',
    'two started',
    'two DONE',
  ]);
  assert.deepEqual(
    Object.values(outcomes(events)).map(({ outcome }) => outcome),
    ['ran', 'ran', 'ran'],
  );
});

test('a build from the cache shows what it loaded and, in front of it, what it did not need', async () => {
  const world = fakeWorld();
  const first = await build(world, two);
  const events = await build(world, two);
  assert.deepEqual(shown(events).slice(3), ['base started', 'base DONE', 'one CACHED', 'two cached…', 'two CACHED']);
  const loaded = events.filter(event => event.kind === 'vertex').at(-2);
  const unneeded = events.filter(event => event.kind === 'vertex').at(-3);
  assert.equal(unneeded?.started, loaded?.started);
  assert.equal(unneeded?.completed, unneeded?.started);
  for (const name of ['base', 'one', 'two']) {
    const { outcome, cache, record, createdAt } = outcomes(events)[name] ?? {};
    assert.equal(outcome, 'hit');
    assert.equal(cache, 'local');
    assert.equal(record, outcomes(first)[name]?.record);
    assert.equal(createdAt, outcomes(first)[name]?.createdAt);
  }
});

test('keys come with their parts', async () => {
  const copy = step('copy', [{ step: base, selector: 'src', content: true }]);
  const world = fakeWorld();
  const events = await build(world, copy);
  const keys = events.filter(event => event.kind === 'key');
  assert.deepEqual(
    keys.map(({ source, input, parts }) => [source, input, parts[0]?.value?.replace(/\d+/, 'N')]),
    [
      ['definition', undefined, 'copy'],
      ['definition', 0, undefined],
      ['definition', undefined, 'base'],
      ['content', 0, 'src N'],
    ],
  );
});

test('a failure is shown, cancels what runs beside it, and is the error of the build', async () => {
  const world = fakeWorld({
    async exec(of, signal) {
      if (of.name === 'broken') throw new Error('exit code: 1');
      if (of.name === 'slow')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('killed'))));
    },
  });
  const target = step('target', [{ step: step('slow', [{ step: base }]) }, { step: step('broken', [{ step: base }]) }]);
  const events: BuildEvent[] = [];
  await using job = world.open(events);
  await assert.rejects(job.build(world.edge(target)), (error: unknown) => {
    assert(error instanceof VertexError);
    assert.equal(error.message, 'exit code: 1');
    assert.equal(error.vertex.name, 'broken');
    return true;
  });
  assert.equal(world.running(), 0);
  assert.deepEqual(shown(events).slice(-2), ['broken exit code: 1', 'slow context canceled']);
  await job[Symbol.asyncDispose]();
  assert.equal(outcomes(events)['target']?.outcome, 'unneeded');
});

test('steps that turn out equal by content run once, and the other shows as cached', async () => {
  const copy = (name: string, from: FakeStep): FakeStep => ({
    name,
    does: 'copy',
    inputs: [{ step: base }, { step: from, content: true }],
  });
  const left = copy('left', step('source a', [], { range: 1 }));
  const right = copy('right', step('source b', [], { range: 1 }));
  const above = (name: string, from: FakeStep): FakeStep => ({
    name,
    does: 'above',
    inputs: [{ step: from, selector: '/' }],
  });
  const target = step('target', [{ step: above('above left', left) }, { step: above('above right', right) }]);
  const world = fakeWorld();
  const events = await build(world, target);
  assert.equal(world.ran.filter(name => /left|right/.test(name)).length, 2);
  const ended = outcomes(events);
  assert.deepEqual([ended['left']?.outcome, ended['right']?.outcome].sort(), ['merged', 'ran']);
  assert.deepEqual([ended['above left']?.outcome, ended['above right']?.outcome].sort(), ['merged', 'ran']);
  const merged = ended['left']?.outcome === 'merged' ? 'left' : 'right';
  assert(shown(events).includes(`${merged} CACHED`));
  world.ran.length = 0;
  await build(world, target);
  assert.deepEqual(world.ran, []);
});

test('a result that cannot be loaded is tried no more: the step runs', async () => {
  let broken = false;
  const world = fakeWorld({
    async load() {
      if (broken) throw new Error('lost');
    },
  });
  await build(world, two);
  broken = true;
  world.ran.length = 0;
  const events = await build(world, one);
  assert.deepEqual(world.ran, ['base', 'one']);
  assert(shown(events).includes('one lost'));
  assert.equal(shown(events).at(-1), 'one DONE');
});

test('a failing content digest is an error of the step that asked', async () => {
  const events: BuildEvent[] = [];
  const world = fakeWorld({
    async exec() {
      throw new VertexError(world.edge(base).vertex, 'content', new Error('"/x": not found'));
    },
  });
  await using job = world.open(events);
  await assert.rejects(job.build(world.edge(base)), { message: 'failed to compute cache key: "/x": not found' });
});

test('a build that joins hears what happened before, and shares the run', async () => {
  const gate = Promise.withResolvers<void>();
  const world = fakeWorld({ exec: of => (of.name === 'two' ? gate.promise : Promise.resolve()) });
  await using early = world.open();
  const first = early.build(world.edge(two));
  while (!world.ran.includes('two')) await turn();
  const events: BuildEvent[] = [];
  await using late = world.open(events);
  const second = late.build(world.edge(two));
  assert.deepEqual(shown(events), ['base DONE', 'one DONE', 'two started']);
  gate.resolve();
  assert.equal((await first).result, (await second).result);
  assert.deepEqual(world.ran, ['base', 'one', 'two']);
  assert.equal(outcomes(events)['one']?.outcome, 'ran');
});

test('an op of a build that has left is not used by another', async () => {
  const gate = Promise.withResolvers<void>();
  const world = fakeWorld({ exec: of => (of.name === 'base' ? gate.promise : Promise.resolve()) });
  const leaves = world.open();
  const first = leaves.build(world.edge(two)).catch(() => 'left');
  while (world.ran.length === 0) await turn();
  await using stays = world.open();
  const second = stays.build(world.edge(two));
  await turn();
  const made = world.opsMade();
  await leaves[Symbol.asyncDispose]();
  assert.equal(await first, 'left');
  gate.resolve();
  await second;
  assert.deepEqual(world.ran, ['base', 'one', 'two']);
  assert.equal(world.opsMade() - made, 2, 'those of one and two');
});

test('a forced build does not share with one that may use the cache', async () => {
  const world = fakeWorld();
  await build(world, two);
  world.ran.length = 0;
  await using cached = world.open();
  await cached.build(world.edge(two));
  const forced = { ...two, ignoreCache: true };
  await using fresh = world.open();
  const { result } = await fresh.build(world.edge(forced));
  assert.deepEqual(world.ran, ['two']);
  await using later = world.open();
  assert.equal((await later.build(world.edge(two))).result, result);
});

test('a failure is not shared with builds that come later', async () => {
  let broken = true;
  const world = fakeWorld({
    async exec(of) {
      if (broken && of.name === 'one') throw new Error('broken');
    },
  });
  await using job = world.open();
  await assert.rejects(job.build(world.edge(two)), /broken/);
  broken = false;
  await using other = world.open();
  await other.build(world.edge(two));
});

test('no more runs at once than allowed', async () => {
  let most = 0;
  let now = 0;
  const world = fakeWorld({
    parallelism: 3,
    async exec() {
      now += 1;
      most = Math.max(most, now);
      await turn();
      now -= 1;
    },
  });
  const many = Array.from({ length: 20 }, (_, index) => step(`${index}`, [{ step: base }]));
  await build(
    world,
    step(
      'target',
      many.map(input => ({ step: input })),
    ),
  );
  assert.equal(most, 3);
  assert.equal(world.ran.length, 22);
});

test('a vertex can be shown running again', async () => {
  const world = fakeWorld({
    exec: (of, _signal, reporter) => (of.name === 'one' ? reporter.during(async () => {}) : Promise.resolve()),
  });
  const events = await build(world, one);
  assert.deepEqual(shown(events).slice(-2), ['one started', 'one DONE']);
});

test('the whole build is closed by disposing it', async () => {
  const world = fakeWorld({
    exec: (_of, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => setImmediate(reject, signal.reason))),
  });
  const events: BuildEvent[] = [];
  const job = world.open(events);
  const built = assert.rejects(job.build(world.edge(two)), /the build was closed/);
  while (world.ran.length === 0) await turn();
  await turn();
  await job[Symbol.asyncDispose]();
  await built;
  assert.equal(world.running(), 0);
  assert.equal(shown(events).at(-1), 'base context canceled');
});

/** Exports a build, with results of one layer each, and imports it into a new world. */
async function travelled(target: FakeStep, options: FakeOptions = {}) {
  const from = fakeWorld();
  await using job = from.open();
  const { keys } = await job.build(from.edge(target));
  const records = await walkForExport(keys, {
    mode: 'max',
    layers: async ({ resultId }) => [{ digest: `sha256:layer of ${resultId}` }],
  });
  const world = fakeWorld(options);
  const cache = importedCache<FakeResult, { digest: string }>({
    id: 'elsewhere',
    records,
    result: async ([layer]) => ({ id: `imported ${layer?.digest}`, value: 0 }),
  });
  return { world, cache };
}

test('nothing is looked up before an imported cache has come', async () => {
  const { world, cache } = await travelled(two);
  const arrival = Promise.withResolvers<typeof cache>();
  const events: BuildEvent[] = [];
  await using job = world.solver.openJob({
    emit: event => events.push(event),
    imports: [
      { id: 'elsewhere', cache: arrival.promise },
      { id: 'broken', cache: Promise.resolve(undefined) },
    ],
  });
  const built = job.build(world.edge(two));
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.deepEqual(world.ran, []);
  arrival.resolve(cache);
  await built;
  assert.deepEqual(world.ran, []);
  assert.equal(outcomes(events)['two']?.cache, 'elsewhere');
  await build(world, two);
  assert.deepEqual(world.ran, [], 'the hit was copied');
});

test('a build that waits for an imported cache can be cancelled', async () => {
  const world = fakeWorld();
  await using job = world.solver.openJob({
    emit: () => {},
    imports: [{ id: 'never', cache: new Promise(() => {}) }],
  });
  const controller = new AbortController();
  const built = job.build(world.edge(two), controller.signal);
  await turn();
  controller.abort(new Error('enough'));
  await assert.rejects(built, /enough/);
});

test('a build knows who shares a vertex with it, and the solver what all of them hold', async () => {
  const world = fakeWorld();
  const open = (name: string) => world.solver.openJob({ emit: () => {}, name });
  await using first = open('first');
  await using other = open('other');
  await using nameless = world.solver.openJob({ emit: () => {} });
  await first.build(world.edge(two));
  await other.build(world.edge(step('elsewhere')));
  assert.deepEqual([...first.companions()], []);
  assert.equal(world.solver.results().length, 4);
  {
    await using second = open('second');
    await second.build(world.edge(one));
    await nameless.build(world.edge(base));
    assert.deepEqual([...first.companions()], ['second']);
    assert.deepEqual([...second.companions()], ['first']);
  }
  assert.deepEqual([...first.companions()], []);
  await first[Symbol.asyncDispose]();
  assert.equal(world.solver.results().length, 2, 'what the others hold');
});
