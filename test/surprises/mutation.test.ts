/**
 * What is said of a build after a random change must name the change, for every step that ran, and nothing else.
 *
 * `OUTCROP_MUTATION_LONG=1` makes hundreds of changes instead of a few dozen, `OUTCROP_MUTATION_SEED` chooses which.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type MutationOptions, type MutationReport, runMutations } from './mutation/run-mutations.ts';

const { env } = process;
const child = env['OUTCROP_MUTATION_CHILD'];
const isLong = env['OUTCROP_MUTATION_LONG'] !== undefined;

// Builds need a process of their own: the test runner's has threads before the engine can enter its mount namespace.
if (child !== undefined) {
  process.stdout.write(JSON.stringify(await runMutations(JSON.parse(child) as MutationOptions)));
} else {
  const seed = Number(env['OUTCROP_MUTATION_SEED'] ?? (isLong ? Date.now() % 1_000_000 : 11));
  const options: MutationOptions = { seed, singles: isLong ? 340 : 26, pairs: isLong ? 120 : 8 };
  test(`explanations name what was changed and nothing else (seed ${seed})`, { timeout: 3_600_000 }, async t => {
    const { explained, failures, kinds, ...made } = await inChild(options);
    t.diagnostic(
      `${made.singles} single changes and ${made.pairs} pairs of ${Object.keys(kinds).length} kinds, ${explained} steps that ran explained`,
    );
    assert.deepEqual(failures, [], `repeat with OUTCROP_MUTATION_SEED=${seed}:\n${failures.join('\n\n')}`);
  });
}

async function inChild(options: MutationOptions): Promise<MutationReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url)], {
    env: { ...env, OUTCROP_MUTATION_CHILD: JSON.stringify(options), NODE_TEST_CONTEXT: '' },
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout) as MutationReport;
}
