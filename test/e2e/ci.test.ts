/** What `outcrop build` says for CI: a file, GitHub's summary and annotations, and an exit code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { scenario } from '../surprises/scenario.ts';

const base = baseContext();

test('--why-file, the summary, annotations and --fail-on tell of a case of the catalogue', async () => {
  using it = scenario('FROM base\nARG NOTE=one\nRUN echo same\n');
  await it.build();
  it.write('Dockerfile', 'FROM base\nARG NOTE=two\nRUN echo same\n');
  const [summary, table, json] = ['summary.md', 'why.md', 'why.json'].map(name => join(it.dir, name));
  const run = (...flags: string[]) =>
    outcrop(['build', '--progress=none', '--build-context', base, ...flags, it.path('.')], {
      root: it.root,
      env: { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary ?? '' },
    });
  const failed = await run('--fail-on', 'base-drift,arg-scope', '--why-file', table ?? '');
  assert.equal(failed.code, 3, failed.stderr);
  assert.match(failed.stderr, /^ERROR: arg-scope: .*\(--fail-on arg-scope\)$/m);
  assert.match(failed.stdout.toString(), /^::notice file=.*Dockerfile,line=3,title=arg-scope::the text of this step/m);
  for (const file of [summary, table]) {
    assert.match(
      readFileSync(file ?? '', 'utf8'),
      /^### outcrop build 2, done: 1 of 1 steps ran.*\n.*`RUN echo same` \| ran/s,
    );
  }

  const passed = await run('--fail-on', 'base-drift', '--why-file', json ?? '');
  assert.equal(passed.code, 0, passed.stderr);
  const told = JSON.parse(readFileSync(json ?? '', 'utf8')) as { schema: string; steps: { outcome: string }[] };
  assert.equal(told.schema, 'outcrop.why/1');
  assert.deepEqual(
    told.steps.map(({ outcome }) => outcome),
    ['cached'],
  );

  const refused = await run('--fail-on', 'base-drif');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /--fail-on base-drif: is not in the catalogue \(did you mean base-drift\?\)/);
});

test('outcrop history lists, shows, exports and forgets builds', async () => {
  using it = scenario('FROM base\nRUN echo out\n');
  await it.build();
  const run = async (...words: string[]) => {
    const { code, stdout, stderr } = await outcrop(['history', ...words], { root: it.root });
    return { code, text: stdout.toString(), stderr };
  };
  assert.match((await run('ls')).text, /^BUILD .*\n1 .* done .* 1 of 1 /);
  assert.match((await run('inspect')).text, /^Build: +1 .*RUN echo out/s);
  assert.equal((await run('logs', '1', 'echo')).text, '[1/2] RUN echo out\nout\n\n');
  assert.equal((JSON.parse((await run('export')).text) as { schema: string }).schema, 'outcrop.build/1');
  assert.match((await run('rm')).stderr, /name the builds to forget, or give --all/);
  assert.equal((await run('rm', '1')).text, '1\n');
  assert.match((await run('inspect', '1')).stderr, /there is no build 1 in the history/);
});
