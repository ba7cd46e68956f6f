/** The same build on a BuildKit daemon: what `--builder` sends, takes back, shows and refuses. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { baseContext } from '../support/base-image.ts';
import { type CliRun, outcrop, stepsOf } from '../support/cli.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { writeFiles } from '../support/write-files.ts';

const base = ['--build-context', baseContext()];

let work: string;
let daemon: TestDaemon;

before(async () => {
  work = mkdtempSync(join(tmpdir(), 'outcrop-builder-'));
  daemon = await startDaemon();
});

after(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

function folder(name: string, files: Readonly<Record<string, string>>): string {
  const dir = join(work, name);
  writeFiles(dir, files);
  return dir;
}

/** Builds on the daemon. The own root is one that must not be touched. */
function remote(...args: string[]): Promise<CliRun> {
  return outcrop(['build', '--builder', daemon.address, ...args], { root: join(work, 'untouched') });
}

async function succeeds(...args: string[]): Promise<CliRun> {
  const run = await remote(...args);
  assert.equal(run.code, 0, run.stderr);
  return run;
}

test('a local context, a RUN step, a directory as result, and the same progress', async () => {
  const context = folder('plain', {
    Dockerfile: 'FROM base\nCOPY a /a\nRUN cat /a > /b && cat /b\nFROM scratch\nCOPY --from=0 /b /b\n',
    a: 'hello\n',
    ignored: 'x',
    '.dockerignore': 'ignored\n',
  });
  const out = join(work, 'plain-out');
  const here = await outcrop(['build', '--progress=plain', ...base, '-o', join(work, 'here-out'), context], {
    root: join(work, 'here'),
  });
  const there = await succeeds('--progress=plain', ...base, '-o', out, context);
  assert.equal(readFileSync(join(out, 'b'), 'utf8'), 'hello\n');
  const names = ({ stderr }: CliRun): string[] =>
    [...stderr.matchAll(/^#\d+ (\[.*|exporting .*)$/gm)].map(([, name = '']) => name).sort();
  assert.deepEqual([...new Set(names(there))], [...new Set(names(here))]);
  assert.match(there.stderr, /^#\d+ [\d.]+ hello$/m);
  assert.match(there.stderr, /^#\d+ transferring context: /m);
  const again = await succeeds('--progress=rawjson', ...base, '-o', out, context);
  assert.ok(stepsOf(again.stderr).some(({ name, cached }) => name.includes('RUN cat /a') && cached));
  assert.equal(existsSync(join(work, 'untouched')), false);
});

test('the same archive as a build here, its digest in --iidfile and --metadata-file', async () => {
  const context = folder('archive', { Dockerfile: 'FROM base\nARG who\nLABEL who=$who\nCOPY a /\n', a: 'a\n' });
  const flags = ['--build-arg', 'who=me', '--build-arg', 'SOURCE_DATE_EPOCH=1', ...base, '-t', 'r.example.com/x:1'];
  const build = async (name: string, run: (...args: string[]) => Promise<CliRun>): Promise<Record<string, string>> => {
    const [archive, metadata, id] = ['tar', 'json', 'id'].map(kind => join(work, `${name}.${kind}`));
    assert.ok(archive && metadata && id);
    const output = `type=oci,rewrite-timestamp=true,dest=${archive}`;
    const { code, stderr } = await run(...flags, '-o', output, '--metadata-file', metadata, '--iidfile', id, context);
    assert.equal(code, 0, stderr);
    const found: Record<string, string> = JSON.parse(readFileSync(metadata, 'utf8'));
    assert.equal(readFileSync(id, 'utf8'), found['containerimage.config.digest']);
    assert.match(execFileSync('tar', ['-tf', archive]).toString(), /^index\.json$/m);
    return found;
  };
  const there = await build('there', remote);
  const here = await build('here', (...args) => outcrop(['build', ...args], { root: join(work, 'here') }));
  for (const key of ['containerimage.digest', 'containerimage.config.digest', 'image.name'])
    assert.equal(there[key], here[key], key);
  assert.match(there['containerimage.digest'] ?? '', /^sha256:/);
});

test('an OCI layout, a tar and a docker archive come back', async () => {
  const context = folder('outputs', { Dockerfile: 'FROM scratch\nCOPY a /\n', a: 'a\n' });
  const [layout, tar, archive] = ['layout', 'o.tar', 'd.tar'].map(name => join(work, name));
  assert.ok(layout && tar && archive);
  await succeeds('-t', 'x', '-o', `type=oci,tar=false,dest=${layout}`, context);
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  assert.equal(manifests[0].annotations['io.containerd.image.name'], 'docker.io/library/x:latest');
  assert.ok(existsSync(join(layout, 'blobs/sha256', manifests[0].digest.slice(7))));
  await succeeds('-o', `type=tar,dest=${tar}`, context);
  assert.match(execFileSync('tar', ['-tf', tar]).toString(), /^a$/m);
  await succeeds('-o', `type=docker,dest=${archive}`, context);
  assert.match(execFileSync('tar', ['-tf', archive]).toString(), /^manifest\.json$/m);
  const { stdout } = await succeeds('-o', '-', context);
  assert.match(execFileSync('tar', ['-t'], { input: stdout }).toString(), /^a$/m);
});

test('secrets and named contexts of this machine reach the steps', async () => {
  const context = folder('inputs', {
    Dockerfile:
      'FROM base\nCOPY --from=other f /f\nRUN --mount=type=secret,id=s,required=true cat /f /run/secrets/s > /both\nFROM scratch\nCOPY --from=0 /both /\n',
  });
  const other = folder('other', { f: 'file ' });
  const secret = join(folder('secret', { s: 'value' }), 's');
  const out = join(work, 'inputs-out');
  const inputs = ['--build-context', `other=${other}`, '--secret', `id=s,src=${secret}`];
  await succeeds(...base, ...inputs, '-o', out, context);
  assert.equal(readFileSync(join(out, 'both'), 'utf8'), 'file value');
});

test('a directory without a cache is a warning with its reason, and the build goes on', async () => {
  const context = folder('no-cache-there', { Dockerfile: 'FROM base\nRUN true\n' });
  for (const [src, files, reason] of [
    [join(work, 'nowhere'), undefined, 'no such file or directory'],
    [join(work, 'no-index'), { other: '' }, 'index.json: no such file or directory'],
    [join(work, 'bad-index'), { 'index.json': '{' }, 'skipped due to err'],
    [join(work, 'other-tag'), { 'index.json': '{"schemaVersion":2,"manifests":[]}' }, 'no digest found for tag latest'],
  ] as const) {
    if (files !== undefined) folder(src.slice(work.length + 1), files);
    const { stderr } = await succeeds('--progress=plain', ...base, '--cache-from', `type=local,src=${src}`, context);
    assert.ok(stderr.includes(`local cache import at ${src}`) && stderr.includes(reason), stderr);
  }
});

test('a local cache is written here, and read by another daemon', async () => {
  const context = folder('cached', { Dockerfile: 'FROM base\nRUN echo once > /f\n' });
  const cache = join(work, 'cache');
  await succeeds(...base, '-o', 'type=cacheonly', '--cache-to', `type=local,mode=max,dest=${cache}`, context);
  assert.ok(existsSync(join(cache, 'index.json')));
  await using second = await startDaemon();
  const from = ['--cache-from', `type=local,src=${cache}`];
  const run = await outcrop(
    ['build', '--builder', second.address, '--progress=rawjson', ...base, ...from, '-o', 'type=cacheonly', context],
    {},
  );
  assert.equal(run.code, 0, run.stderr);
  assert.ok(stepsOf(run.stderr).some(({ name, cached }) => name.includes('RUN echo once') && cached));
});

test('a step that fails shows its place in the Dockerfile', async () => {
  const context = folder('fails', { Dockerfile: 'FROM base\nRUN echo no; exit 7\n' });
  const run = await remote(...base, context);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /^ {3}2 \| >>> RUN echo no; exit 7$/m);
  assert.match(run.stderr, /ERROR: failed to build: failed to solve: process .* exit code: 7$/m);
});

test('--call asks the frontend of the daemon', async () => {
  const context = folder('call', { Dockerfile: 'FROM scratch AS one\nFROM scratch AS two\nCOPY a /\n' });
  const targets = await remote('--call=targets', context);
  assert.equal(targets.code, 0, targets.stderr);
  assert.match(targets.stdout.toString(), /^one\b[\s\S]*^two\b/m);
  const linted = await remote('--check', folder('lint', { Dockerfile: 'from scratch\nCOPY a /\n' }));
  assert.match(linted.stdout.toString(), /ConsistentInstructionCasing/);
});

test('an interrupted build ends on the daemon too', async () => {
  const context = folder('slow', { Dockerfile: 'FROM base\nRUN echo started; sleep 61377\n' });
  let pid = 0;
  const running = outcrop(['build', '--builder', daemon.address, '--progress=plain', ...base, context], {
    onStart: started => (pid = started),
  });
  const sleeping = (): boolean => {
    try {
      return execFileSync('pgrep', ['-x', '-f', 'sleep 61377']).length > 0;
    } catch {
      return false;
    }
  };
  while (!sleeping()) await delay(50);
  process.kill(pid, 'SIGINT');
  const run = await running;
  assert.equal(run.code, 130, run.stderr);
  while (sleeping()) await delay(50);
});

test('a daemon that is not there, an address that is none, flags that mean nothing', async () => {
  const context = folder('refused', { Dockerfile: 'FROM scratch\n' });
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [
      ['--builder', `unix://${work}/none.sock`],
      /^ERROR: the builder unix:\/\/.*none\.sock cannot be reached: .*ENOENT/m,
    ],
    [
      ['--builder', 'tcp://127.0.0.1:1'],
      /^ERROR: the builder tcp:\/\/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/m,
    ],
    [['--builder', '/run/x.sock'], /you meant unix:\/\/\/run\/x\.sock \?/],
    [['--builder', 'ftp://x'], /not supported/],
    [['--builder', `${daemon.address},cacert=x`], /certificates are for tcp:\/\//],
    [['--builder', 'tcp://127.0.0.1:1,cacert=/none.pem'], /cannot read \/none\.pem/],
    [['--builder', daemon.address, '--why'], /--why is for builds in this process/],
  ];
  for (const [args, message] of cases) {
    const run = await outcrop(['build', ...args, context]);
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, message);
  }
});

test('outcrop why tells on the root of the daemon what was built there, and why', async () => {
  const files = { Dockerfile: 'FROM base\nCOPY a /a\nRUN cat /a\n', a: 'one\n' };
  await succeeds(...base, folder('explained', files));
  const context = folder('explained', { ...files, a: 'two\n' });
  await succeeds(...base, '--build-arg', 'NOTE=1', context);
  const { code, stdout, stderr } = await outcrop(['why', '--json'], { root: daemon.root });
  assert.equal(code, 0, stderr);
  const { build, steps } = JSON.parse(String(stdout));
  assert.deepEqual([build.status, build.dockerfile], ['done', 'Dockerfile']);
  assert.deepEqual(
    steps.map((step: { text: string; outcome: string; causes: { says: string }[] }) => [
      step.text,
      step.outcome,
      step.causes.map(({ says }) => says.replace(/content .*/, 'content')),
    ]),
    [
      ['COPY a /a', 'ran', ['a content']],
      ['RUN cat /a', 'ran', ['a content']],
    ],
  );
});
