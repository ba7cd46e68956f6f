/** Where contexts and Dockerfiles come from, what bad input gets, and what an interrupted build leaves. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { baseContext } from '../support/base-image.ts';
import { outcrop, stepsOf } from '../support/cli.ts';
import { startHttpServer } from '../support/http-server.ts';
import { workDirectory } from '../support/work-directory.ts';
import { writeFiles } from '../support/write-files.ts';

const base = ['--build-context', baseContext()];

const work = workDirectory('inputs');
const root = join(work, 'root');

function folder(name: string, files: Readonly<Record<string, string>>): string {
  const dir = join(work, name);
  writeFiles(dir, files);
  return dir;
}

test('a Dockerfile on standard input, with and without a context', async () => {
  const context = folder('stdin', { a: 'a\n' });
  const withContext = await outcrop(['build', '-f', '-', '-o', join(work, 'out1'), context], {
    root,
    input: 'FROM scratch\nCOPY a /b\n',
  });
  assert.equal(withContext.code, 0, withContext.stderr);
  assert.equal(readFileSync(join(work, 'out1/b'), 'utf8'), 'a\n');
  const alone = await outcrop(['build', '-o', join(work, 'out2'), '-'], {
    root,
    input: 'FROM scratch\nCOPY <<E /b\nhere\nE\n',
  });
  assert.equal(alone.code, 0, alone.stderr);
  assert.equal(readFileSync(join(work, 'out2/b'), 'utf8'), 'here\n');
});

test('a tar archive on standard input is the context', async () => {
  const context = folder('tar', { Dockerfile: 'FROM scratch\nCOPY a /b\n', a: 'from tar\n' });
  for (const flag of ['-c', '-cz']) {
    const input = execFileSync('tar', [flag, '-C', context, '.']);
    const out = join(work, `tar-out${flag}`);
    const run = await outcrop(['build', '-o', out, '-'], { root, input });
    assert.equal(run.code, 0, run.stderr);
    assert.equal(readFileSync(join(out, 'b'), 'utf8'), 'from tar\n');
  }
});

test('a git repository over http is the context', async () => {
  const repository = folder('repo', { 'sub/Dockerfile': 'FROM scratch\nCOPY a /b\n', 'sub/a': 'from git\n' });
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args]);
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('commit', '-qm', 'one');
  git('update-server-info');
  await using server = await serve(join(repository, '.git'));
  const out = join(work, 'git-out');
  const run = await outcrop(['build', '-o', out, `${server.url}/repo.git#main:sub`], { root });
  assert.equal(run.code, 0, run.stderr);
  assert.equal(readFileSync(join(out, 'b'), 'utf8'), 'from git\n');
});

test('the Dockerfile is behind a URL, or lies here while the context is remote', async () => {
  const files = folder('dockerfiles', { 'one/Other': 'FROM scratch\nCOPY a /b\n', 'two/a': 'of the context\n' });
  execFileSync('tar', ['-cf', join(files, 'one/context.tar'), '-C', join(files, 'two'), '.']);
  await using server = await serve(join(files, 'one'));
  for (const [name, ...args] of [
    ['url-here', '-f', `${server.url}/Other`, join(files, 'two')],
    ['url-there', '-f', `${server.url}/Other`, `${server.url}/context.tar`],
    ['here-there', '-f', join(files, 'one/Other'), `${server.url}/context.tar`],
  ]) {
    const out = join(work, name ?? '');
    const { code, stderr } = await outcrop(['build', '-o', out, ...args], { root });
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(join(out, 'b'), 'utf8'), 'of the context\n');
  }
  const { code, stderr } = await outcrop(['build', '-f', `${server.url}/none`, files], { root });
  assert.equal(code, 1);
  assert.equal(stderr, `ERROR: --file ${server.url}/none: the server answers 404\n`);
});

function serve(dir: string) {
  return startHttpServer((request, answer) => {
    const path = join(dir, new URL(request.url ?? '/', 'http://x').pathname.replace('/repo.git', ''));
    if (!existsSync(path) || readdirIs(path)) answer.writeHead(404).end();
    else answer.end(readFileSync(path));
  });
}

function readdirIs(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

test('bad Dockerfiles: file, line, the line, the reason, exit 1, nothing written', async () => {
  const context = folder('bad', { Dockerfile: 'FROM scratch\n\nCOPPY a /\n' });
  const out = join(work, 'bad-out');
  const run = await outcrop(['build', '-o', out, context], { root });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /^Dockerfile:3\n/m);
  assert.match(run.stderr, /^ {3}3 \| >>> COPPY a \/$/m);
  assert.match(run.stderr, /unknown instruction: COPPY \(did you mean COPY\?\)/);
  assert.ok(!existsSync(out));
});

test('a missing file: the path, the context and near misses', async () => {
  const context = folder('missing', { Dockerfile: 'FROM scratch\nCOPY package.jsn /\n', 'package.json': '{}' });
  const { code, stderr } = await outcrop(['build', context], { root });
  assert.equal(code, 1);
  assert.match(stderr, /"\/package\.jsn": not found/);
  assert.ok(stderr.includes(`looked in the context ${context}`));
  assert.match(stderr, /near: package\.json/);
});

test('a file that the ignore file leaves out', async () => {
  const context = folder('ignored', { Dockerfile: 'FROM scratch\nCOPY a /\n', a: '', '.dockerignore': 'a\n' });
  const { code, stderr } = await outcrop(['build', context], { root });
  assert.equal(code, 1);
  assert.match(stderr, /a lies in .*, but the ignore file leaves it out/);
});

test('a registry that is down: one clear line', async () => {
  const context = folder('down', { Dockerfile: 'FROM localhost:9/none:1\n' });
  const { code, stderr } = await outcrop(['build', '--progress=quiet', context], { root });
  assert.equal(code, 1);
  assert.match(stderr, /^ERROR: .*localhost:9.*refused/m);
});

test('usage errors name the flag and the near miss', async () => {
  const context = folder('usage', { Dockerfile: 'FROM scratch\n' });
  for (const [args, text] of [
    [['--progress=plian'], /did you mean plain\?/],
    [['-o', 'type=tarr'], /did you mean tar\?/],
    [['--network=hots'], /did you mean host\?/],
    [['--ulimit', 'x'], /--ulimit x: expected NAME=SOFT/],
    [['--no-cachee'], /Did you mean --no-cache\?/],
  ] as const) {
    const run = await outcrop(['build', ...args, context], { root });
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, text);
  }
});

test('a build that fails leaves no image id of an earlier one behind', async () => {
  const context = folder('stale-id', { Dockerfile: 'FROM scratch\nCOPY none /\n', id: 'sha256:old' });
  const iidfile = join(context, 'id');
  const { code } = await outcrop(['build', '--iidfile', iidfile, context], { root });
  assert.equal(code, 1);
  assert.ok(!existsSync(iidfile));
  const files = await outcrop(['build', '--iidfile', iidfile, '-o', join(work, 'files'), context], { root });
  assert.match(files.stderr, /^ERROR: --iidfile: --output type=local makes no image/);
});

test('a secret of a variable that is not set is empty, and the build is told', async () => {
  const context = folder('unset-secret', {
    Dockerfile: 'FROM base\nRUN --mount=type=secret,id=s,required=true wc -c < /run/secrets/s > /size\n',
  });
  const out = join(work, 'unset-secret-out');
  const flags = [...base, '--secret', 'id=s,env=OUTCROP_NOT_SET', '-o', out];
  const { code, stderr } = await outcrop(['build', ...flags, context], { root });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^WARNING: --secret id=s: the variable OUTCROP_NOT_SET is not set/m);
  assert.equal(readFileSync(join(out, 'size'), 'utf8').trim(), '0');
});

test('flags of docker that mean nothing here are taken, with a warning', async () => {
  const context = folder('idle-flags', { Dockerfile: 'FROM scratch\n' });
  const flags = ['--compress', '--rm=true', '--force-rm=false', '-m', '1g', '--cpuset-cpus=0', '--progress=quiet'];
  const { code, stderr } = await outcrop(['build', ...flags, context], { root });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, 'WARNING: --memory is not obeyed\nWARNING: --cpuset-cpus is not obeyed\n');
});

test('proxies of the Docker configuration are build arguments, and the platform has a default', async () => {
  const context = folder('proxies', {
    Dockerfile:
      'FROM base AS made\nARG TARGETARCH\nRUN echo $HTTP_PROXY > /proxy\nFROM scratch\nCOPY --from=made /proxy /\n',
    'docker/config.json': JSON.stringify({ proxies: { default: { httpProxy: 'http://proxy:1' } } }),
  });
  const out = join(work, 'proxies-out');
  const env = { DOCKER_CONFIG: join(context, 'docker'), DOCKER_DEFAULT_PLATFORM: 'linux/amd64,linux/arm64' };
  const alone = { DOCKER_CONFIG: env.DOCKER_CONFIG };
  const { code, stderr } = await outcrop(['build', ...base, '-o', out, context], { root, env: alone });
  assert.equal(code, 0, stderr);
  assert.equal(readFileSync(join(out, 'proxy'), 'utf8'), 'http://proxy:1\n');
  const empty = folder('default-platform', { Dockerfile: 'FROM scratch\nCOPY file /\n', file: '' });
  const both = join(work, 'platforms-out');
  const split = await outcrop(['build', '-o', both, empty], { root, env });
  assert.equal(split.code, 0, split.stderr);
  assert.deepEqual(readdirSync(both).sort(), ['linux_amd64', 'linux_arm64']);
});

test('a root that cannot be written: said at once', async () => {
  const context = folder('read-only', { Dockerfile: 'FROM scratch\n' });
  const file = join(work, 'a-file');
  writeFileSync(file, '');
  chmodSync(file, 0o400);
  const { code, stderr } = await outcrop(['build', context], { root: join(file, 'root') });
  assert.equal(code, 1);
  assert.match(stderr, /^ERROR: .*a-file/m);
});

function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
      } catch {
        return false;
      }
    })
    .map(Number)
    .filter(pid => pid !== process.pid);
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition() && waited < 20_000; waited += 50) await delay(50);
  assert.ok(condition());
}

for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 130],
  ['SIGKILL', null],
] as const) {
  test(`${name} in the middle of a step: nothing goes on, nothing is broken, the next build is right`, async () => {
    const seconds = `${3000 + process.pid}.${code ?? 9}${name.length}`;
    const context = folder(`interrupt-${name}`, {
      Dockerfile: `FROM base\nRUN echo kept > /kept\nRUN sleep ${seconds}\n`,
    });
    // A place of its own: other tests' builds would clear away what this one leaves.
    const env = { OUTCROP_RUNTIME_DIR: join(work, `run-${name}`) };
    let pid = 0;
    const running = outcrop(['build', '--progress=plain', ...base, context], {
      root,
      env,
      onStart: started => (pid = started),
    });
    const steps = () => processesWith(`sleep\0${seconds}`);
    await until(() => steps().length > 0);
    process.kill(pid, name);
    const ended = await running;
    assert.equal(ended.code, code, ended.stderr);
    if (name !== 'SIGKILL') assert.deepEqual(steps(), []);
    writeFileSync(join(context, 'Dockerfile'), `FROM base\nRUN echo kept > /kept\nRUN cat /kept; echo after ${name}\n`);
    const next = await outcrop(['build', '--progress=rawjson', ...base, context], { root, env });
    assert.equal(next.code, 0, next.stderr);
    const kept = stepsOf(next.stderr).find(step => step.name.includes('echo kept'));
    assert.equal(kept?.cached, true);
    await until(() => steps().length === 0);
  });
}

test('a failing branch ends the others, and the first failure is reported', async () => {
  const seconds = `${4000 + process.pid}`;
  const context = folder('branches', {
    Dockerfile: `FROM base AS slow\nRUN sleep ${seconds}\nFROM base AS bad\nRUN sleep 1; echo last words; exit 7\nFROM scratch\nCOPY --from=slow / /a\nCOPY --from=bad / /b\n`,
  });
  const { code, stderr } = await outcrop(['build', '--progress=plain', ...base, context], { root });
  assert.equal(code, 1);
  assert.match(stderr, /did not complete successfully: exit code: 7/);
  assert.match(stderr, /last words/);
  assert.match(stderr, /CANCELED/);
  assert.deepEqual(processesWith(`sleep\0${seconds}`), []);
});

test('several builds at once on one root', async () => {
  const context = folder('at-once', { Dockerfile: 'FROM base\nRUN sleep 1; echo done > /done\nRUN cat /done\n' });
  const runs = await Promise.all(
    Array.from({ length: 4 }, () => outcrop(['build', '--progress=plain', ...base, context], { root })),
  );
  for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
});
