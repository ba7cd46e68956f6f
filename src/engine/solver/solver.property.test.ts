import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VertexError } from './errors.ts';
import { type FakeInput, type FakeStep, fakeWorld, resultValue } from './fake-steps.ts';

/** A step as it is drawn: inputs are chosen among the steps before it. */
interface Draft {
  readonly does: number;
  readonly inputs: readonly { readonly pick: number; readonly selector: boolean; readonly content: boolean }[];
}

const draft: fc.Arbitrary<Draft> = fc.record({
  does: fc.nat(5),
  inputs: fc.array(fc.record({ pick: fc.nat(), selector: fc.boolean(), content: fc.boolean() }), { maxLength: 3 }),
});
const drafts = fc.array(draft, { minLength: 1, maxLength: 14 });

/** The last step is the target, and stands on all that nothing else stands on. */
function graphOf(list: readonly Draft[]): FakeStep[] {
  const steps: FakeStep[] = [];
  for (const [index, { does, inputs }] of list.entries()) {
    const chosen = index === 0 ? [] : inputs;
    steps.push({
      name: `${index}`,
      does: `step ${does} on ${chosen.map(({ content }) => (content ? 'content' : 'input'))}`,
      range: 4,
      inputs: chosen.flatMap(({ pick, selector, content }): FakeInput[] => {
        const step = steps[pick % index];
        return step === undefined ? [] : [{ step, content, ...(selector ? { selector: '/' } : {}) }];
      }),
    });
  }
  const used = new Set(steps.flatMap(step => step.inputs.map(input => input.step)));
  const tops = steps.filter(step => !used.has(step));
  steps.push({ name: 'target', does: `target on ${tops.length} inputs`, inputs: tops.map(step => ({ step })) });
  return steps;
}

/**
 * The naive model. A step is what it does and, per input, its content where that counts and else what the input is in
 * turn. Whatever step below the target was never run runs, and nothing else.
 */
function identities(steps: readonly FakeStep[]): Map<string, string> {
  const values = new Map<FakeStep, number>();
  const known = new Map<FakeStep, string>();
  for (const step of steps) {
    const inputs = step.inputs.map(input => values.get(input.step) ?? 0);
    values.set(step, resultValue(step, inputs));
    const seen = step.inputs.map((input, index) => [
      input.selector,
      input.content ? inputs[index] : known.get(input.step),
    ]);
    known.set(step, JSON.stringify([step.does, seen]));
  }
  return new Map([...known].map(([step, identity]) => [step.name, identity]));
}

const runs = 150;

test('after any change exactly that runs which a naive model says, and once', async t => {
  let builds = 0;
  const property = fc.asyncProperty(
    fc.array(fc.tuple(drafts, fc.array(fc.tuple(fc.nat(), draft), { maxLength: 3 })), { minLength: 1, maxLength: 3 }),
    async changes => {
      const world = fakeWorld();
      const done = new Set<string>();
      for (const [list, edits] of changes) {
        const edited = [...list];
        for (const [at, step] of edits) edited[at % edited.length] = step;
        for (const version of [list, edited, edited]) {
          const steps = graphOf(version);
          const target = steps.at(-1);
          assert(target);
          const identity = identities(steps);
          const expected = new Set([...identity.values()].filter(one => !done.has(one)));
          world.ran.length = 0;
          await using job = world.open();
          await job.build(world.edge(target));
          const ran = world.ran.map(name => identity.get(name) ?? '');
          assert.deepEqual(new Set(ran), expected);
          assert.equal(new Set(world.ran).size, world.ran.length, 'a vertex ran twice');
          for (const one of ran) done.add(one);
          builds += 1;
        }
      }
    },
  );
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${builds} builds of ${runs} histories`);
});

test('a step that fails ends the build with its error, and nothing runs on', async t => {
  let failures = 0;
  const property = fc.asyncProperty(
    drafts,
    fc.array(fc.nat(14), { minLength: 1, maxLength: 4 }),
    async (list, failing) => {
      const steps = graphOf(list);
      const target = steps.at(-1);
      assert(target);
      let broken = true;
      const names = new Set(failing.map(String));
      const world = fakeWorld({
        async exec(step, signal) {
          await new Promise(resolve => setImmediate(resolve));
          signal.throwIfAborted();
          if (broken && names.has(step.name)) throw new Error(`broken ${step.name}`);
        },
      });
      {
        await using job = world.open();
        const outcome = await job.build(world.edge(target)).then(
          () => undefined,
          (error: unknown) => error,
        );
        assert.equal(world.running(), 0, 'work goes on after the build has ended');
        if (world.ran.some(name => names.has(name))) {
          assert(outcome instanceof VertexError);
          assert.equal(outcome.message, `broken ${outcome.vertex.name}`);
          assert(names.has(outcome.vertex.name));
          failures += 1;
        } else {
          assert.equal(outcome, undefined);
        }
      }
      broken = false;
      await using again = world.open();
      await again.build(world.edge(target));
      assert.equal(world.running(), 0);
    },
  );
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${failures} failures of ${runs} builds`);
});

test('a cancelled build ends when its work has ended, and leaves builds that share vertices alone', async t => {
  let cancelled = 0;
  const property = fc.asyncProperty(
    drafts,
    fc.array(fc.nat(25), { minLength: 1, maxLength: 3 }),
    async (list, turns) => {
      const steps = graphOf(list);
      const target = steps.at(-1);
      assert(target);
      let signalled = 0;
      const world = fakeWorld({
        parallelism: 2,
        async exec(_step, signal) {
          await new Promise(resolve => setImmediate(resolve));
          if (signal.aborted) signalled += 1;
          signal.throwIfAborted();
        },
      });
      const stays = world.open();
      const reference = stays.build(world.edge(target));
      const others = turns.map(async (count, index) => {
        await using job = world.open();
        const controller = new AbortController();
        const from = steps[(index * 7) % steps.length] ?? target;
        const built = job.build(world.edge(from), controller.signal).then(
          () => 'built',
          (error: unknown) => error,
        );
        for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve));
        controller.abort(new Error('enough'));
        const outcome = await built;
        if (outcome === 'built') return;
        cancelled += 1;
        assert.match(String(outcome), /enough/);
      });
      await Promise.all(others);
      await reference;
      assert.equal(signalled, 0, 'work that another build waits for was aborted');
      assert.equal(new Set(world.ran).size, world.ran.length, 'a vertex ran twice');
      assert.equal(world.running(), 0);
      await stays[Symbol.asyncDispose]();
    },
  );
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${cancelled} cancelled of ${runs} histories`);
});

test('a build that nobody shares stops when it is cancelled at any moment', async t => {
  let cancelled = 0;
  const property = fc.asyncProperty(drafts, fc.nat(30), async (list, turns) => {
    const steps = graphOf(list);
    const target = steps.at(-1);
    assert(target);
    const world = fakeWorld({
      async exec(_step, signal) {
        for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve));
        signal.throwIfAborted();
      },
    });
    const controller = new AbortController();
    const job = world.open();
    const built = job.build(world.edge(target), controller.signal).then(
      () => 'built',
      () => 'cancelled',
    );
    for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve));
    controller.abort();
    if ((await built) === 'cancelled') cancelled += 1;
    assert.equal(world.running(), 0, 'work goes on after the build has ended');
    await job[Symbol.asyncDispose]();
    await using again = world.open();
    await again.build(world.edge(target));
  });
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${cancelled} cancelled of ${runs} builds`);
});

test('whatever is forced to run, pruned or cannot be loaded, the result is right', async t => {
  let builds = 0;
  const round = fc.record({
    forced: fc.array(fc.nat(14), { maxLength: 3 }),
    pruned: fc.array(fc.nat(60), { maxLength: 6 }),
    broken: fc.array(fc.nat(60), { maxLength: 3 }),
  });
  const property = fc.asyncProperty(drafts, fc.array(round, { minLength: 2, maxLength: 4 }), async (list, rounds) => {
    let unloadable = new Set<string>();
    const world = fakeWorld({
      async load(id) {
        if (unloadable.has(id)) throw new Error(`cannot load ${id}`);
      },
    });
    for (const { forced, pruned, broken } of rounds) {
      unloadable = new Set(broken.map(number => `result ${number}`));
      const graph = graphOf(list);
      const copies = new Map<FakeStep, FakeStep>();
      for (const [index, step] of graph.entries()) {
        const inputs = step.inputs.map(input => ({ ...input, step: copies.get(input.step) ?? input.step }));
        copies.set(step, { ...step, inputs, ignoreCache: forced.includes(index) });
      }
      const target = [...copies.values()].at(-1);
      assert(target);
      world.ran.length = 0;
      await using job = world.open();
      const { result } = await job.build(world.edge(target));
      const values = new Map<FakeStep, number>();
      for (const step of copies.values()) {
        values.set(
          step,
          resultValue(
            step,
            step.inputs.map(input => values.get(input.step) ?? 0),
          ),
        );
      }
      assert.equal(result.value, values.get(target));
      assert.equal(new Set(world.ran).size, world.ran.length, 'a vertex ran twice');
      for (const number of pruned) world.results.delete(`result ${number}`);
      builds += 1;
    }
  });
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${builds} builds of ${runs} histories`);
});

test('steps that are forced to run, and make something else, are seen by all that stands on them', async t => {
  let builds = 0;
  const round = fc.record({ forced: fc.array(fc.nat(5), { maxLength: 2 }), world: fc.nat(2) });
  const property = fc.asyncProperty(
    fc.array(drafts, { minLength: 1, maxLength: 2 }),
    fc.array(round, { minLength: 2, maxLength: 6 }),
    async (lists, rounds) => {
      let outside = 0;
      const value = (step: FakeStep, inputs: readonly number[]) =>
        step.ignoreCache
          ? resultValue({ ...step, does: `${step.does} ${outside}` }, inputs)
          : resultValue(step, inputs);
      const world = fakeWorld({ value });
      /** By what a step does and what of its inputs counts: the run that made its result. */
      const done = new Map<string, { readonly run: number; readonly value: number }>();
      let runs = 0;
      for (const [index, { forced, world: now }] of rounds.entries()) {
        outside = now;
        const graph = graphOf(lists[index % lists.length] ?? []);
        const copies = new Map<FakeStep, FakeStep>();
        for (const step of graph) {
          const inputs = step.inputs.map(input => ({ ...input, step: copies.get(input.step) ?? input.step }));
          const ignoreCache = inputs.length > 0 && forced.some(does => step.does.startsWith(`step ${does} `));
          copies.set(step, { ...step, inputs, ignoreCache });
        }
        const target = [...copies.values()].at(-1);
        assert(target);
        const made = new Map<FakeStep, { readonly run: number; readonly value: number }>();
        const anew = new Set<string>();
        for (const step of copies.values()) {
          const inputs = step.inputs.map(input => made.get(input.step) ?? { run: 0, value: 0 });
          const seen = step.inputs.map(({ selector, content }, input) =>
            content ? [selector, inputs[input]?.value] : ['run', selector, inputs[input]?.run],
          );
          const identity = JSON.stringify([step.does, seen]);
          const known = done.get(identity);
          if (known !== undefined && !(step.ignoreCache && !anew.has(identity))) {
            made.set(step, known);
            continue;
          }
          anew.add(identity);
          const result = {
            run: ++runs,
            value: value(
              step,
              inputs.map(input => input.value),
            ),
          };
          done.set(identity, result);
          made.set(step, result);
        }
        await using job = world.open();
        const { result } = await job.build(world.edge(target));
        assert.equal(result.value, made.get(target)?.value);
        builds += 1;
      }
    },
  );
  await fc.assert(property, { numRuns: runs });
  t.diagnostic(`${builds} builds of ${runs} histories`);
});
