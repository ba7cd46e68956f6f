/** The short form of the mutation test; `run.ts` has the long one. `OUTCROP_MUTATION_SEED` chooses other changes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { MutationReport } from './run-mutations.ts';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));
const seed = process.env['OUTCROP_MUTATION_SEED'] ?? '11';
const options = ['--changes', '26', '--pairs', '10', '--per-root', '4', '--seed', seed];

test(`explanations name what was changed and nothing else (seed ${seed})`, { timeout: 600_000 }, async t => {
  // Builds need a process of their own: the test runner's has threads before the engine can enter its mount namespace.
  const { stdout } = await promisify(execFile)(process.execPath, [RUN, ...options, '--json'], { maxBuffer: 1 << 26 });
  const { singles, pairs, explained, failures, kinds, dockerfiles } = JSON.parse(stdout) as MutationReport;
  const made = Object.values(kinds).filter(count => count > 0).length;
  t.diagnostic(
    `seed ${seed}: ${singles} single changes and ${pairs} pairs of ${made} kinds on ${dockerfiles} Dockerfiles, ${explained} steps that ran explained`,
  );
  assert.deepEqual(failures, [], `node test/mutation/run.ts ${options.join(' ')}\n${failures.join('\n\n')}`);
});
