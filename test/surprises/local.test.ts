/** The cases of the catalogue that need nothing but this machine: each is built, recognised by its id, and explained. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, globSync, lstatSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runWhy } from '../../src/entry/cli/run-why.ts';
import { outcrop } from '../support/cli.ts';
import { idsOf, says, scenario, type WhyStep } from './scenario.ts';

const DAY = 86_400_000;

suite('the catalogue on one machine', { concurrency: 2 }, () => {
  test('cross-stage-reuse: the same step of two stages runs once, and both say so', async () => {
    using it = scenario(
      'FROM base AS deps\nRUN echo deps > /d\nFROM base AS tools\nRUN echo deps > /d\nRUN echo more > /m\nFROM base\nCOPY --from=deps /d /\nCOPY --from=tools /m /\n',
    );
    const { steps } = await it.build();
    assert.equal(steps.filter(({ name, done }) => done && name.includes('echo deps')).length, 1);
    const [shared] = await it.why('echo deps');
    assert.deepEqual(
      shared?.surprises.map(one => [one.id, /deps and tools/.test(one.says)]),
      [['cross-stage-reuse', true]],
    );
  });

  test('base-drift: the name of the base means another image', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\nRUN echo 2 > /b\n');
    await it.build();
    const { ran } = await it.build({ base: 'layer' });
    assert.equal(ran.length, 2);
    const steps = await it.why();
    for (const step of steps) {
      assert.deepEqual(
        step.causes.map(({ kind }) => kind),
        ['base'],
      );
      assert.match(step.causes[0]?.says ?? '', /base names another image: 1f32f40… → b800183…/);
    }
    assert.deepEqual(idsOf(steps), ['base-drift']);
  });

  test('identical-content: files were touched and nothing in the keys changed', async () => {
    using it = scenario('FROM base\nCOPY . /app/\n', { 'a.txt': 'a\n', '.dockerignore': '*.log\n', 'x.log': 'x\n' });
    await it.build();
    utimesSync(it.path('a.txt'), 1, 1);
    writeFileSync(it.path('x.log'), 'another\n');
    const { ran } = await it.build();
    assert.deepEqual(ran, []);
    const [step] = await it.why('COPY');
    assert.equal(step?.outcome, 'cached');
    assert.deepEqual(idsOf([step as WhyStep]), ['identical-content']);
    assert.match(step?.surprises[0]?.says ?? '', /a\.txt, x\.log \(ignored\)/);
  });

  test('same-size-edit: an edit that keeps size and mtime is noticed', async () => {
    using it = scenario('FROM base\nCOPY a.txt /\n', { 'a.txt': 'one\n' });
    utimesSync(it.path('a.txt'), 1000, 1000);
    await it.build();
    it.write('a.txt', 'two\n');
    utimesSync(it.path('a.txt'), 1000, 1000);
    assert.deepEqual((await it.build()).ran, ['COPY a.txt /']);
    const [step] = await it.why('COPY');
    assert.match(says(step).join(), /^a\.txt content /);
  });

  test('changed-under-build: a file that changes while it is used is an error, and nothing is cached', async () => {
    const run = 'RUN --mount=type=cache,target=/c touch /c/started; until test -e /c/go; do sleep 0.1; done';
    using it = scenario(`FROM base\n${run}\nCOPY a.txt /\n`, { 'a.txt': 'one\n' });
    const building = it.build({ fails: true });
    let started: string | undefined;
    while (started === undefined) {
      await delay(50);
      [started] = globSync(join(it.root, 'cache-mounts/**/started'));
    }
    await delay(500);
    it.write('a.txt', 'changed\n');
    writeFileSync(join(dirname(started), 'go'), '');
    const { stderr } = await building;
    assert.match(stderr, /a\.txt/);
    assert.match(stderr, /changed/);
    assert.deepEqual(idsOf(await it.why('COPY')), ['changed-under-build']);
    assert.deepEqual((await it.build()).ran, ['COPY a.txt /']);
  });

  test('pruned: the key is known and its result is gone', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    const { code, stderr } = await outcrop(['prune', '--all', '--force'], { root: it.root });
    assert.equal(code, 0, stderr);
    await it.build();
    const [step] = await it.why('echo');
    assert.match(says(step).join(), /^its result was pruned \d{4}-/);
    assert.deepEqual(idsOf([step as WhyStep]), ['pruned']);
  });

  test('secret-ignored: a changed secret changes no key, and the hit says so', async () => {
    using it = scenario('FROM base\nRUN --mount=type=secret,id=token wc -c /run/secrets/token\n');
    const secret = join(it.dir, 'token');
    const flags = ['--secret', `id=token,src=${secret}`];
    writeFileSync(secret, 'one');
    await it.build({ flags });
    writeFileSync(secret, 'another');
    assert.deepEqual((await it.build({ flags })).ran, []);
    const [step] = await it.why('secret');
    assert.deepEqual(idsOf([step as WhyStep]), ['secret-ignored']);
    const { stdout } = await outcrop(['history', 'export'], { root: it.root });
    assert.doesNotMatch(stdout.toString(), /another/, 'values of secrets are kept nowhere');
  });

  test('cache-mount-state: whether the mount was empty or filled is told', async () => {
    const run = 'RUN --mount=type=cache,target=/c ls /c | wc -l; touch /c/$VERSION';
    using it = scenario(`FROM base\nARG VERSION=1\n${run}\n`);
    await it.build();
    const states: string[] = [];
    const note = async () => {
      const [step] = await it.why('cache');
      states.push(step?.surprises.find(({ id }) => id === 'cache-mount-state')?.says ?? '');
    };
    await note();
    await it.build({ flags: ['--build-arg', 'VERSION=2'] });
    await note();
    assert.match(states[0] ?? '', /\/c was empty/);
    assert.match(states[1] ?? '', /\/c was filled/);
  });

  test('cache-mount-lost: on a fresh root cache mounts are empty, and that is told', async () => {
    using it = scenario('FROM base\nRUN --mount=type=cache,target=/c touch /c/a\n');
    const root = join(it.dir, 'fresh');
    const cache = join(it.dir, 'exported');
    await it.build({ flags: ['--cache-to', `type=local,dest=${cache}`] });
    it.write('Dockerfile', 'FROM base\nRUN --mount=type=cache,target=/c touch /c/b\n');
    await it.build({ root, flags: ['--cache-from', `type=local,src=${cache}`] });
    const [step] = await it.why('cache', root);
    assert.match(step?.surprises.find(({ id }) => id === 'cache-mount-state')?.says ?? '', /\/c was empty/);
    assert.ok(idsOf([step as WhyStep]).includes('cache-mount-lost'));
  });

  test('ignored-by-legacy: a label that breaks the cache of the builder before BuildKit breaks nothing here', async () => {
    const file = (version: number) => `FROM scratch\nLABEL version=${version}\nCOPY a.txt /\n`;
    using it = scenario(file(1), { 'a.txt': 'a\n' });
    const legacy = async () =>
      (await outcrop(['build', '--legacy', it.path('.')], { root: it.root })).stdout.toString();
    await it.build();
    await legacy();
    assert.match(await legacy(), /COPY a\.txt \/\n ---> Using cache/);
    it.write('Dockerfile', file(2));
    assert.doesNotMatch(await legacy(), /COPY a\.txt \/\n ---> Using cache/);
    assert.deepEqual((await it.build()).ran, []);
  });

  test('chmod-source: only the mode of a source changed, which --chmod replaces', async () => {
    using it = scenario('FROM base\nCOPY --chmod=755 run.sh /\n', { 'run.sh': '#!/bin/sh\n' });
    await it.build();
    chmodSync(it.path('run.sh'), 0o700);
    await it.build();
    const [step] = await it.why('COPY');
    assert.deepEqual(says(step), ['run.sh mode 0644 → 0700']);
    assert.deepEqual(idsOf([step as WhyStep]), ['chmod-source']);
  });

  test('no-cache-copy: --no-cache runs copies again', async () => {
    using it = scenario('FROM base\nCOPY a.txt /\nRUN echo 1\n', { 'a.txt': 'a\n' });
    await it.build();
    assert.equal((await it.build({ flags: ['--no-cache'] })).ran.length, 2);
    const steps = await it.why();
    for (const step of steps) assert.deepEqual(says(step), ['--no-cache: nothing was looked up']);
    assert.deepEqual(idsOf(steps), ['no-cache-copy']);
  });

  test('arg-scope: an argument that a step does not mention is in its key', async () => {
    using it = scenario('FROM base\nARG VERSION=1\nRUN echo 1 > /a\n');
    await it.build();
    await it.build({ flags: ['--build-arg', 'VERSION=2'] });
    const [step] = await it.why('echo');
    assert.deepEqual(says(step), ['ARG VERSION 1 → 2 (--build-arg)']);
    assert.deepEqual(idsOf([step as WhyStep]), ['arg-scope']);
  });

  test('env-order: the order of variables is part of the key', async () => {
    using it = scenario('FROM base\nENV A=1\nENV B=2\nRUN echo 1 > /a\n');
    await it.build();
    it.write('Dockerfile', 'FROM base\nENV B=2\nENV A=1\nRUN echo 1 > /a\n');
    await it.build();
    const [step] = await it.why('echo');
    assert.match(says(step).join(), /was moved here: ENV /);
    assert.deepEqual(idsOf([step as WhyStep]), ['env-order']);
  });

  test('label-late: a label breaks nothing that follows', async () => {
    using it = scenario('FROM base\nLABEL version=1\nRUN echo 1 > /a\n');
    await it.build();
    it.write('Dockerfile', 'FROM base\nLABEL version=2\nRUN echo 1 > /a\n');
    assert.deepEqual((await it.build()).ran, []);
    assert.deepEqual(idsOf(await it.why('echo')), ['label-late']);
    await it.build();
    assert.deepEqual(idsOf(await it.why('echo')), []);
  });

  test('interleaved: --progress=ordered prints each step whole, in the order of the Dockerfile', async () => {
    using it = scenario(
      'FROM base AS a\nRUN echo a1; sleep 1; echo a2\nFROM base AS b\nRUN echo b1; sleep 1; echo b2\nFROM scratch\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n',
    );
    const base = new URL('../vectors/base-image', import.meta.url).pathname;
    const { stderr, code } = await outcrop(
      ['build', '--progress=ordered', '--build-context', `base=oci-layout://${base}:latest`, it.path('.')],
      { root: it.root },
    );
    assert.equal(code, 0, stderr);
    const words = [...stderr.matchAll(/ \d+\.\d+ (a1|a2|b1|b2)$/gm)].map(([, word]) => word);
    assert.deepEqual(words, ['a1', 'a2', 'b1', 'b2']);
  });

  test('network-fetch: a cached step that reads the network says how old it is', async () => {
    using it = scenario('FROM base\nRUN wget -q http://127.0.0.1:9/none || echo offline > /a\n');
    await it.build();
    await it.build();
    const young = JSON.parse(runWhy(['wget'], { json: true }, it.root)) as { steps: WhyStep[] };
    assert.deepEqual(idsOf(young.steps), []);
    const old = JSON.parse(runWhy(['wget'], { json: true }, it.root, Date.now() + 12 * DAY)) as { steps: WhyStep[] };
    assert.deepEqual(idsOf(old.steps), ['network-fetch']);
  });

  test('cross-project-stale: two directories of one name share nothing', async () => {
    using it = scenario('FROM base\n');
    for (const [project, text] of [
      ['one', 'first\n'],
      ['two', 'other\n'],
    ] as const) {
      it.write(`../${project}/app/Dockerfile`, 'FROM base\nCOPY a.txt /\n');
      it.write(`../${project}/app/a.txt`, text);
      utimesSync(join(it.dir, project, 'app/a.txt'), 1000, 1000);
      const out = join(it.dir, `out-${project}`);
      await it.build({ context: `${project}/app`, flags: ['--output', out] });
      assert.equal(lstatSync(join(out, 'a.txt')).size, text.length);
      const { stdout } = await outcrop(['why', 'COPY', '--json'], { root: it.root });
      assert.match(stdout.toString(), /"outcome": "ran"/);
    }
  });

  test('xattr-only, dir-mode: changes of attributes alone are noticed, and named', async t => {
    using it = scenario('FROM base\nCOPY . /app/\n', { 'sub/a.txt': 'a\n' });
    await it.build();
    chmodSync(it.path('sub'), 0o700);
    assert.equal((await it.build()).ran.length, 1);
    assert.deepEqual(says((await it.why('COPY'))[0]), ['sub mode 0755 → 0700']);
    assert.deepEqual(idsOf(await it.why('COPY')), ['dir-mode']);
    try {
      execFileSync('setfattr', ['-n', 'user.x', '-v', '1', it.path('sub/a.txt')], { stdio: 'pipe' });
    } catch (error) {
      t.diagnostic(`no extended attributes here: ${error}`);
      return;
    }
    assert.equal((await it.build()).ran.length, 1);
    assert.deepEqual(says((await it.why('COPY'))[0]), ['sub/a.txt extended attributes']);
    assert.deepEqual(idsOf(await it.why('COPY')), ['xattr-only']);
  });

  test('mount-id-changed: another id of a cache mount changes no key, and the hit says so', async () => {
    const run = (id: string) => `FROM base\nRUN --mount=type=cache,id=${id},target=/c,sharing=locked touch /c/a\n`;
    using it = scenario(run('one'));
    await it.build();
    it.write('Dockerfile', run('two'));
    assert.deepEqual((await it.build()).ran, []);
    const [step] = await it.why('mount');
    assert.deepEqual(idsOf([step as WhyStep]), ['mount-id-changed']);
  });

  test('filter-typo: a stage that is not there is an error with the near miss', async () => {
    using it = scenario('FROM base AS build\nRUN echo 1\n');
    const { stderr } = await it.build({ flags: ['--no-cache-filter', 'biuld'], fails: true });
    assert.match(stderr, /--no-cache-filter biuld: the Dockerfile has no such stage \(did you mean build\?\)/);
  });

  test('spelling-miss: the same written another way runs, and says that only that changed', async () => {
    using it = scenario('FROM base\nCOPY a.txt b.txt /d/\n', { 'a.txt': 'a\n', 'b.txt': 'b\n' });
    await it.build();
    it.write('Dockerfile', 'FROM base\nCOPY b.txt a.txt /d/\n');
    assert.equal((await it.build()).ran.length, 1);
    assert.deepEqual(idsOf(await it.why('COPY')), ['spelling-miss']);
  });

  test('platform-split: the cache of a platform does not serve another one', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    const { ran } = await it.build({ flags: ['--platform', 'linux/386'] });
    assert.equal(ran.length, 1);
    const [step] = await it.why('echo');
    assert.match(says(step).join(), /^platform linux\/amd64 → linux\/386/);
    assert.deepEqual(idsOf([step as WhyStep]), ['platform-split']);
  });

  test('exclude-follows-links: --exclude follows the links at the top of the context', async () => {
    using it = scenario('FROM base\nCOPY --exclude=*.log . /d/\n', { 'sub/a.txt': 'a\n' });
    symlinkSync('sub', it.path('link'));
    await it.build();
    const [step] = await it.why('COPY');
    assert.match(step?.surprises[0]?.says ?? '', /^what link leads to was copied/);
    assert.deepEqual(idsOf([step as WhyStep]), ['exclude-follows-links']);
    symlinkSync('nowhere', it.path('dangling'));
    const { stderr } = await it.build({ fails: true });
    assert.match(stderr, /dangling is a symbolic link to nowhere, which is not there; COPY --exclude follows/);
  });

  test('a renamed file is named with its old name, and secrets are not shown', async () => {
    using it = scenario('FROM base\nCOPY src /src\n', { 'src/a.txt': 'a\n', 'src/b.txt': 'b\n' });
    await it.build();
    renameSync(it.path('src/a.txt'), it.path('src/c.txt'));
    await it.build();
    assert.deepEqual(says((await it.why('COPY'))[0]), ['src/c.txt renamed from src/a.txt']);
  });
});
