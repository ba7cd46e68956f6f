/** `outcrop why`: each reason that a step can have for being cached or for running, and how builds and steps are named. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { baseContext } from '../support/base-image.ts';
import { MAIN, outcrop } from '../support/cli.ts';
import { schemaErrors } from '../support/json-schema.ts';
import { hasRegistry, startRegistry } from '../support/registry.ts';
import { type Scenario, says, scenario, type WhyStep } from '../surprises/scenario.ts';

const schema = JSON.parse(readFileSync(new URL('../../docs/why.schema.json', import.meta.url), 'utf8')) as object;

async function text(it: Scenario, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await outcrop(['why', ...words], { root: it.root });
  assert.equal(code, 0, stderr);
  return stdout.toString();
}

async function explained(it: Scenario, word: string, root?: string): Promise<WhyStep> {
  const [step, ...others] = await it.why(word, root);
  assert(step !== undefined && others.length === 0, `${others.length + 1} steps are ${word}`);
  return step;
}

suite('why a step was cached', { concurrency: 2 }, () => {
  test('by this machine: which build made the result', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    await it.build();
    assert.deepEqual([(await explained(it, 'echo')).from].map(clean), [{ cache: 'local', build: 1 }]);
    assert.match(await text(it, 'echo'), /\n {2}by build 1\n$/);
    assert.match(await text(it), /RUN echo 1 > \/a +cached +by build 1\n/);
  });

  test('from a directory: which, how old the result is, and how old the newest one there', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    const cache = join(it.dir, 'cache');
    await it.build({ flags: ['--cache-to', `type=local,dest=${cache},mode=max`] });
    const root = join(it.dir, 'fresh');
    await it.build({ root, flags: ['--cache-from', `type=local,src=${cache}`] });
    const { from = {} } = await explained(it, 'echo', root);
    assert.equal(from['place'], cache);
    assert.match(String(from['cache']), /^local:\d+$/);
    assert.match(`${from['createdAt']} ${from['newest']}`, /^2\S+Z 2\S+Z$/);
    const { stdout } = await outcrop(['why'], { root });
    assert.ok(stdout.toString().includes(`cached  from ${cache} (exported `), stdout.toString());
  });

  test('from a registry: by its reference', {
    skip: !hasRegistry() && 'docker-registry is not installed',
  }, async () => {
    await using registry = await startRegistry();
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    const ref = `${registry.address}/cache:max`;
    await it.build({ flags: ['--cache-to', `type=registry,ref=${ref},mode=max`] });
    const root = join(it.dir, 'fresh');
    await it.build({ root, flags: ['--cache-from', `type=registry,ref=${ref}`] });
    const { stdout } = await outcrop(['why'], { root });
    assert.ok(stdout.toString().includes(`cached  from ${ref} (exported `), stdout.toString());
  });
});

function relink(target: string, path: string): void {
  unlinkSync(path);
  symlinkSync(target, path);
}

function replaceByDirectory(path: string): void {
  unlinkSync(path);
  mkdirSync(path);
}

function clean(from: unknown): unknown {
  const { createdAt: _, ...rest } = from as Readonly<Record<string, unknown>>;
  return rest;
}

suite('why a step ran', { concurrency: 2 }, () => {
  test('a file of a COPY: what of it changed', async () => {
    using it = scenario('FROM base\nCOPY src /src\n', { 'src/a': 'a\n', 'src/b': 'b\n', 'src/c': 'c\n' });
    symlinkSync('a', it.path('src/link'));
    await it.build();
    const changes: readonly (readonly [() => void, RegExp])[] = [
      [() => it.write('src/a', 'other\n'), /^src\/a content [0-9a-f]{7}… → [0-9a-f]{7}…$/],
      [() => chmodSync(it.path('src/a'), 0o600), /^src\/a mode 0644 → 0600$/],
      [() => it.write('src/new', 'new\n'), /^src\/new added$/],
      [() => unlinkSync(it.path('src/new')), /^src\/new removed$/],
      [() => renameSync(it.path('src/b'), it.path('src/d')), /^src\/d renamed from src\/b$/],
      [() => mkdirSync(it.path('src/dir')), /^src\/dir new directory$/],
      [() => chmodSync(it.path('src/dir'), 0o700), /^src\/dir mode 0755 → 0700$/],
      [() => relink('c', it.path('src/link')), /^src\/link target a → c$/],
      [() => replaceByDirectory(it.path('src/c')), /^src\/c file → directory$/],
    ];
    for (const [change, expected] of changes) {
      change();
      const { ran } = await it.build();
      const step = await explained(it, 'COPY');
      // What went back to what it was is found again.
      if (ran.length === 0) assert.equal(step.outcome, 'cached', String(expected));
      else assert.match(says(step).join(' AND '), expected);
    }
  });

  test('an owner in a stage, and the way there', async () => {
    const file = (owner: number) =>
      `FROM base AS build\nRUN echo 1 > /a; chown ${owner} /a\nFROM base\nCOPY --from=build /a /\nRUN cat /a > /b\n`;
    using it = scenario(file(1));
    await it.build();
    it.write('Dockerfile', file(2));
    assert.equal((await it.build()).ran.length, 3);
    const last = await explained(it, 'cat /a');
    assert.deepEqual(says(last), ['line 2 changed, it was: RUN echo 1 > /a; chown 1 /a']);
    assert.deepEqual(
      last.causes[0]?.path.map(name => name.replace(/^\[.*?\] /, '')),
      ['RUN cat /a > /b', 'COPY --from=build /a /', 'RUN echo 1 > /a; chown 2 /a'],
    );
    assert.match(await text(it, 'COPY'), /came out differently:\n.*a +owner 1:0 → 2:0/);
  });

  test('a variable: from what to what, and where that is set', async () => {
    const file = (mode: string) => `FROM base\nARG LEVEL=1\nENV MODE=${mode}\nRUN echo $LEVEL $MODE > /a\n`;
    using it = scenario(file('fast'));
    await it.build();
    await it.build({ flags: ['--build-arg', 'LEVEL=2'] });
    assert.deepEqual(says(await explained(it, 'echo')), ['ARG LEVEL 1 → 2 (--build-arg)']);
    it.write('Dockerfile', file('slow'));
    await it.build({ flags: ['--build-arg', 'LEVEL=2'] });
    assert.deepEqual(says(await explained(it, 'echo')), ['ENV MODE fast → slow (line 3)']);
  });

  test('a variable whose name says that it is secret: that it changed, and no value', async () => {
    using it = scenario('FROM base\nARG NPM_TOKEN\nRUN echo 1 > /a\n');
    await it.build({ flags: ['--build-arg', 'NPM_TOKEN=hunter1'] });
    await it.build({ flags: ['--build-arg', 'NPM_TOKEN=hunter2'] });
    assert.match(says(await explained(it, 'echo')).join(), /^ARG NPM_TOKEN \*{3}\w+ → \*{3}\w+ \(--build-arg\)$/);
    const shown = [
      ['why'],
      ['why', 'echo'],
      ['why', '--json'],
      ['history', 'inspect'],
      ['history', 'inspect', '--json'],
      ['history', 'export'],
    ];
    for (const args of shown) {
      const { stdout, stderr, code } = await outcrop(args, { root: it.root });
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stdout.toString(), /hunter/, args.join(' '));
    }
  });

  test('the base image: which names another one', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    await it.build({ base: 'layer' });
    assert.match(
      says(await explained(it, 'echo')).join(),
      /^docker\.io\/library\/base names another image: 1f32f40… → b800183…$/,
    );
  });

  test('the first build, a step that was not needed before, and one that is new', async () => {
    const file = 'FROM base AS one\nRUN echo 1 > /a\nFROM one AS two\nRUN echo 2 > /b\n';
    using it = scenario(file);
    await it.build({ flags: ['--target', 'one'] });
    assert.match(says(await explained(it, 'echo 1')).join(), /^nothing was built before/);
    await it.build();
    assert.match(says(await explained(it, 'echo 2')).join(), /^was not built before: build 1 did not need it$/);
    it.write('Dockerfile', `${file}RUN echo 3 > /c\n`);
    await it.build();
    assert.match(says(await explained(it, 'echo 3')).join(), /^line 5 is new: RUN echo 3 > \/c$/);
  });

  test('a step that failed before, --no-cache, and flags', async () => {
    using it = scenario('FROM base\nRUN --mount=type=secret,id=x test -s /run/secrets/x\n');
    await it.build({ fails: true });
    it.write('secret', 'x');
    const flags = ['--secret', `id=x,src=${it.path('secret')}`];
    await it.build({ flags });
    assert.match(says(await explained(it, 'test')).join(), /^failed in build 1, so nothing was kept/);
    await it.build({ flags: [...flags, '--no-cache'] });
    assert.deepEqual(says(await explained(it, 'test')), ['--no-cache: nothing was looked up']);
    await it.build({ flags: [...flags, '--add-host', 'h=10.0.0.1'] });
    assert.match(says(await explained(it, 'test')).join(), /^--add-host set to h/);
  });

  test('a step below that was forced to run by a build that went no further', async () => {
    using it = scenario('FROM base AS one\nRUN echo 1 > /a\nFROM one\nRUN cat /a > /b\n');
    await it.build();
    await it.build({ flags: ['--no-cache-filter', 'one', '--target', 'one'] });
    assert.deepEqual((await it.build()).ran.length, 1);
    assert.deepEqual(says(await explained(it, 'cat')), [
      'build 2 was told to run RUN echo 1 > /a again, and what stands on its earlier result is not used',
    ]);
  });

  test('another platform', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    await it.build({ flags: ['--platform', 'linux/386'] });
    assert.deepEqual(says(await explained(it, 'echo')), ['platform linux/amd64 → linux/386']);
  });

  test('what was removed, and what an import does not hold, lost or cannot give', async () => {
    using it = scenario('FROM base AS build\nRUN echo 1 > /a\nFROM base\nCOPY --from=build /a /\n');
    const cache = join(it.dir, 'cache');
    const exported = (mode: string) => ['--cache-to', `type=local,dest=${cache},mode=${mode}`];
    const from = ['--cache-from', `type=local,src=${cache}`];
    const root = join(it.dir, 'other');
    const prune = async () => {
      const { code, stderr } = await outcrop(['prune', '--all', '--force'], { root });
      assert.equal(code, 0, stderr);
    };
    const target = ['--target', 'build'];
    const reason = async () => says(await explained(it, 'echo', root)).join();
    await it.build({ flags: exported('max') });
    await it.build({ root, flags: [...target, ...from] });
    await prune();
    await it.build({ root, flags: target });
    assert.equal(await reason(), `its result is in ${cache}, which this build was not given`);
    await prune();
    await it.build({ root, flags: target });
    assert.match(await reason(), /^its result was pruned \d{4}-\d\d-\d\d \d\d:\d\d by prune --all \([\d.]+[kM]?B\)$/);
    await it.build({ flags: exported('min') });
    const empty = join(it.dir, 'empty');
    await it.build({ root: empty, flags: [...target, ...from] });
    assert.equal(
      says(await explained(it, 'echo', empty)).join(),
      `${cache} knows it but holds no result: it was exported without it`,
    );
    rmSync(cache, { recursive: true });
    const another = join(it.dir, 'another');
    await it.build({ root: another, flags: [...target, ...from] });
    assert.match(
      says(await explained(it, 'echo', another)).join(),
      new RegExp(`^nothing could be taken from ${cache}: `),
    );
  });
});

suite('how builds and steps are named', { concurrency: 2 }, () => {
  test('a step by text, stage, number and line; a build by number, id and image', async () => {
    using it = scenario(
      'FROM base AS deps\nRUN echo d1 > /d\nRUN echo d2 > /e\nFROM base AS app\nCOPY --from=deps /d /\nRUN echo a > /a\n',
    );
    await it.build({ flags: ['-t', 'app:one'] });
    it.write('Dockerfile', readFileSync(it.path('Dockerfile'), 'utf8').replace('echo a', 'echo b'));
    await it.build({ flags: ['-t', 'app:two'] });
    const texts = async (...words: string[]) => {
      const { stdout, stderr, code } = await outcrop(['why', '--json', ...words], { root: it.root });
      assert.equal(code, 0, stderr);
      const { build, steps } = JSON.parse(stdout.toString()) as { build: { number: number }; steps: WhyStep[] };
      return [build.number, ...steps.map(step => step.text)];
    };
    assert.deepEqual(await texts('ECHO D2'), [2, 'RUN echo d2 > /e']);
    assert.deepEqual(await texts('deps'), [2, 'RUN echo d1 > /d', 'RUN echo d2 > /e']);
    assert.deepEqual(await texts('deps/2'), [2, 'RUN echo d2 > /e']);
    assert.deepEqual(await texts(':6'), [2, 'RUN echo b > /a']);
    assert.deepEqual(await texts('1', ':6'), [1, 'RUN echo a > /a']);
    assert.deepEqual(await texts('app:one', ':6'), [1, 'RUN echo a > /a']);
    const { stdout } = await outcrop(['history', 'inspect', '--json', '1'], { root: it.root });
    const { id } = JSON.parse(stdout.toString()) as { id: string };
    assert.deepEqual(await texts(id.slice(0, 8), ':6'), [1, 'RUN echo a > /a']);
    const { stderr, code } = await outcrop(['why', 'echo dd'], { root: it.root });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /build 2 has no step "echo dd".*name it by a part of its text, its stage, STAGE\/NUMBER or :LINE/,
    );
  });

  test('--against: any two builds, by number and by image', async () => {
    using it = scenario('FROM base\nARG V\nRUN echo 1 > /a\n');
    for (const value of ['1', '2', '3']) await it.build({ flags: ['--build-arg', `V=${value}`, '-t', `v:${value}`] });
    const against = async (...words: string[]) => {
      const { stdout, stderr, code } = await outcrop(['why', '--json', ...words], { root: it.root });
      assert.equal(code, 0, stderr);
      const { steps } = JSON.parse(stdout.toString()) as { steps: WhyStep[] };
      return steps.map(step => [step.against, ...says(step)]);
    };
    assert.deepEqual(await against('3', '--against', '1'), [[1, 'ARG V 1 → 3 (--build-arg)']]);
    assert.deepEqual(await against('--against', 'v:1'), [[1, 'ARG V 1 → 3 (--build-arg)']]);
    assert.deepEqual(await against('1', '--against', '3'), [[3, 'ARG V 3 → 1 (--build-arg)']]);
    const { stderr, code } = await outcrop(['why', '--against', 'nothing'], { root: it.root });
    assert.equal(code, 1);
    assert.match(stderr, /there is no build nothing in the history/);
  });

  test('--json fits its schema, whatever happened', async () => {
    using it = scenario(
      'FROM base AS one\nARG V=1\nRUN echo 1 > /a\nFROM base AS two\nRUN echo 1 > /a\nCOPY a.txt /\nFROM base\nCOPY --from=one /a /1\nCOPY --from=two /a /2\n',
      { 'a.txt': 'a\n' },
    );
    const builds: readonly (() => Promise<unknown>)[] = [
      () => it.build(),
      () => it.build(),
      () => it.build({ flags: ['--build-arg', 'V=2'] }),
      () => it.build({ base: 'layer' }),
      () => {
        it.write('a.txt', 'b\n', 0o600);
        return it.build({ flags: ['--no-cache-filter', 'one'] });
      },
      () => it.build({ flags: ['--platform', 'linux/386'] }),
    ];
    let count = 0;
    for (const build of builds) {
      await build();
      const { stdout } = await outcrop(['why', '--json'], { root: it.root });
      const value: unknown = JSON.parse(stdout.toString());
      count += (value as { steps: unknown[] }).steps.length;
      assert.deepEqual(schemaErrors(schema, value), []);
    }
    assert.equal(count, 30);
  });
});

const UNEXPECTED =
  /\nnot as expected \(outcrop why tells more\):\n - \[1\/2\] RUN echo 1 > \/a: base-drift: docker\.io\/library\/base names another image: it was 1f32f40… at \S+ \S+ and is b800183… at \S+ \S+\n$/;

/** What a build prints on a terminal. */
async function onTerminal(it: Scenario, base: string): Promise<string> {
  const context = baseContext(base);
  const command = [process.execPath, MAIN, 'build', '--progress=tty', '--build-context', context, it.path('.')];
  const { stdout } = await promisify(execFile)(
    'script',
    ['-qec', command.map(word => `'${word}'`).join(' '), '/dev/null'],
    { env: { ...process.env, OUTCROP_ROOT: it.root, NO_COLOR: '1', TERM: 'xterm' } },
  );
  return stdout.replaceAll('\r\n', '\n');
}

const hasTerminal = spawnSync('script', ['--version']).status === 0;

suite('what nobody expects is told at the end of a build', { concurrency: 2 }, () => {
  test('--progress=plain: a line a step, and none where all went as expected', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    assert.doesNotMatch((await it.build({ flags: ['--progress=plain'] })).stderr, /not as expected/);
    assert.match((await it.build({ base: 'layer', flags: ['--progress=plain'] })).stderr, UNEXPECTED);
  });

  test('--progress=tty: the same', { skip: !hasTerminal && 'script is not installed' }, async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    assert.doesNotMatch(await onTerminal(it, 'latest'), /not as expected/);
    assert.match(await onTerminal(it, 'layer'), UNEXPECTED);
  });

  test('--progress=quiet and rawjson say nothing', async () => {
    using it = scenario('FROM base\nRUN echo 1 > /a\n');
    await it.build();
    for (const [base, flag] of [
      ['layer', '--progress=rawjson'],
      ['env', '--progress=quiet'],
    ] as const) {
      assert.doesNotMatch((await it.build({ base, flags: [flag] })).stderr, /not as expected/);
    }
  });
});
