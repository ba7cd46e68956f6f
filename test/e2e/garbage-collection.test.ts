/** What a daemon removes by itself. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openDatabase } from '../../src/store/database.ts';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { startDaemon } from '../support/daemon.ts';
import { workDirectory } from '../support/work-directory.ts';

const work = workDirectory('gc');

test('a daemon makes room by its rules when a build has ended, and writes down what goes', async t => {
  const config = join(work, 'buildkitd.toml');
  writeFileSync(config, '[worker.oci]\n  [[worker.oci.gcpolicy]]\n    all = true\n    maxUsedSpace = 1\n');
  await using daemon = await startDaemon(['--config', config]);
  const context = join(work, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), 'FROM base\nRUN --mount=type=cache,target=/c touch /made /c/kept\n');
  const built = await outcrop([
    ...['build', '--builder', daemon.address, '--progress=plain', '--output', 'type=cacheonly'],
    ...['--build-context', baseContext(), context],
  ]);
  assert.equal(built.code, 0, built.stderr);
  using database = openDatabase(daemon.root);
  const removed = () => {
    try {
      return database.sql.prepare('SELECT type, rule, description FROM removals').all();
    } catch {
      // Nothing was ever removed.
      return [];
    }
  };
  while (!removed().some(({ type }) => type === 'exec.cachemount')) await delay(200, undefined, { signal: t.signal });
  const rows = removed();
  assert.ok(
    rows.some(({ description }) => String(description).includes('touch /made')),
    JSON.stringify(rows),
  );
  assert.deepEqual([...new Set(rows.map(({ rule }) => rule))], ['garbage collection, keep at most 0 MB']);
});
