/** Runs every check of the project, in order, and stops at the first that fails. Arguments: test files, if not all. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';

function run(command: string, args: readonly string[]): void {
  console.log(
    `> ${command} ${args.length > 6 ? `${args.slice(0, 4).join(' ')} … (${args.length} arguments)` : args.join(' ')}`,
  );
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const chosen = process.argv.slice(2);
if (chosen.length === 0) {
  run('tsc', ['--noEmit']);
  run('biome', ['check', '--error-on-warnings', '.']);
  run('knip', []);
}
const files = chosen.length > 0 ? chosen : globSync(['src/**/*.test.ts', 'test/**/*.test.ts']).sort();
// Node leaves one processor free by itself: one file at a time on two.
run(process.execPath, ['--test', `--test-concurrency=${availableParallelism()}`, '--test-timeout=900000', ...files]);
