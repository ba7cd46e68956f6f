/** Roots and caches when processes are killed at any change that they make, or are many. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { type CliRun, outcrop, stepsOf } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

/** How many moments a test kills at; a run by hand may take more. */
const kills = Number(process.env['OUTCROP_TEST_KILLS'] ?? 4);
const processes = 10;
const preload = new URL('../support/kill-at-change.ts', import.meta.url).href;
const skip = hasRegistry() ? false : 'docker-registry is not installed';

let registry: TestRegistry;
let work: string;
before(async () => {
  work = mkdtempSync(join(tmpdir(), 'outcrop-faults-'));
  if (!skip) registry = await startRegistry();
});
after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

/** A context whose result has the files `/a` to `/c`, and what they hold. */
function threeSteps(name: string): { readonly context: string; readonly files: Readonly<Record<string, string>> } {
  const context = join(work, `context-${name}`);
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'a'), `${name}\n`);
  const steps = ['FROM base', 'COPY a /a', 'RUN cat /a /a > /b', 'RUN cat /a /b > /c', ''];
  writeFileSync(join(context, 'Dockerfile'), steps.join('\n'));
  const line = `${name}\n`;
  return { context, files: { a: line, b: line + line, c: line + line + line } };
}

function build(root: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliRun> {
  return outcrop(['build', '--progress=rawjson', `--build-context=${baseContext()}`, ...args], { root, env });
}

/** Builds, with or without a fault before: the files are right. @returns the steps that ran. */
async function builds(
  root: string,
  { context, files }: ReturnType<typeof threeSteps>,
  args: readonly string[] = [],
): Promise<readonly string[]> {
  const out = mkdtempSync(join(work, 'out-'));
  const { code, stderr } = await build(root, [...args, `--output=type=local,dest=${out}`, context]);
  assert.equal(code, 0, stderr);
  for (const [name, text] of Object.entries(files)) assert.equal(readFileSync(join(out, name), 'utf8'), text, stderr);
  rmSync(out, { recursive: true });
  const ran = stepsOf(stderr).filter(({ name, cached }) => /\d\/\d\] (?:COPY|RUN)/.test(name) && !cached);
  return ran.map(({ name }) => name);
}

/** Numbers spread over a range, both of its ends among them. */
function spread(last: number, count: number): number[] {
  const step = Math.max(1, (last - 1) / (count - 1));
  return [...new Set(Array.from({ length: count }, (_, index) => Math.min(last, Math.round(1 + index * step))))];
}

/**
 * Runs a program on new roots, killed at one change after another.
 *
 * @param start - makes the root of a run
 * @param run - runs the program with an environment
 * @param check - of the root afterwards
 */
async function killedAtChanges(
  start: () => string,
  run: (root: string, env: Readonly<Record<string, string>>) => Promise<CliRun>,
  check: (root: string) => Promise<void>,
): Promise<{ readonly changes: number; readonly killed: number }> {
  const counts = join(mkdtempSync(join(work, 'count-')), 'changes');
  const env = { NODE_OPTIONS: `--import=${preload}` };
  const whole = await run(start(), { ...env, KILL_COUNT: counts });
  assert.equal(whole.code, 0, whole.stderr);
  const changes = Math.max(...readFileSync(counts, 'utf8').trim().split('\n').map(Number));
  let killed = 0;
  for (const at of spread(changes, kills)) {
    const root = start();
    const { code } = await run(root, { ...env, KILL_AT: `${at}` });
    if (code === null) killed += 1;
    await check(root);
    rmSync(root, { recursive: true, force: true });
  }
  return { changes, killed };
}

test('an import that is killed at any change: the next build is right, and the one after it has all', {
  skip,
}, async t => {
  const steps = threeSteps('import');
  const ref = `${registry.address}/cache/import`;
  const first = await build(join(work, 'exporter'), [`--cache-to=type=registry,ref=${ref},mode=max`, steps.context]);
  assert.equal(first.code, 0, first.stderr);
  const from = `--cache-from=type=registry,ref=${ref}`;
  const { changes, killed } = await killedAtChanges(
    () => mkdtempSync(join(work, 'root-')),
    (root, env) => build(root, [from, `--output=type=local,dest=${join(root, 'out')}`, steps.context], env),
    async root => {
      assert.deepEqual(await builds(root, steps, [from]), []);
      assert.deepEqual(await builds(root, steps), []);
    },
  );
  t.diagnostic(`${killed} kills in ${changes} changes`);
  assert.ok(killed > 1);
});

test('a collection that is killed at any change: what is left is right, and another collection ends', async t => {
  const steps = threeSteps('collection');
  const filled = join(work, 'filled');
  await builds(filled, threeSteps('other'));
  await builds(filled, steps);
  const { changes, killed } = await killedAtChanges(
    () => {
      const root = mkdtempSync(join(work, 'root-'));
      execFileSync('cp', ['-a', `${filled}/.`, root]);
      return root;
    },
    (root, env) => outcrop(['prune', '--all', '--force'], { root, env }),
    async root => {
      await builds(root, steps);
      assert.deepEqual(await builds(root, steps), []);
      const { code, stderr } = await outcrop(['prune', '--all', '--force'], { root });
      assert.equal(code, 0, stderr);
      const { stdout } = await outcrop(['du'], { root });
      assert.match(stdout.toString(), /Total:\s+0B/);
    },
  );
  t.diagnostic(`${killed} kills in ${changes} changes`);
  assert.ok(killed > 1);
});

test(`${processes} builds of ${processes} processes on one root at once: each is right, and all is kept`, async t => {
  const root = join(work, 'shared');
  const cases = Array.from({ length: processes }, (_, index) => threeSteps(`shared-${index % (processes / 2)}`));
  const runs = await Promise.all(
    cases.map((steps, index) =>
      builds(root, steps, [`--cache-to=type=local,dest=${join(work, `to-${index}`)},mode=max`]),
    ),
  );
  t.diagnostic(`steps that ran: ${runs.map(({ length }) => length).join(' ')}`);
  // The other half are the same builds.
  for (const [index, steps] of cases.slice(0, processes / 2).entries()) {
    assert.deepEqual(await builds(root, steps), []);
    // Each export stands alone.
    const from = `--cache-from=type=local,src=${join(work, `to-${index}`)}`;
    assert.ok(existsSync(join(work, `to-${index}`, 'index.json')));
    assert.deepEqual(await builds(mkdtempSync(join(work, 'root-')), steps, [from]), []);
  }
});
