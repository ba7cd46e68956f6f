/** What steps get from elsewhere: ADD of URLs and git repositories, ssh agents, networks, privileges, shared caches. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { baseContext } from '../support/base-image.ts';
import { type CliRun, outcrop, stepsOf } from '../support/cli.ts';
import { startGitServer } from '../support/git-server.ts';
import { startHttpServer } from '../support/http-server.ts';
import { workDirectory } from '../support/work-directory.ts';

const work = workDirectory('remote-inputs');
const root = join(work, 'root');
let count = 0;

interface Built extends CliRun {
  /** The directory that the result was written to. */
  readonly out: string;
  /** What the steps printed, in order. */
  readonly printed: string;
}

/** Builds a Dockerfile on an empty context; the result is written to a directory. */
async function build(
  dockerfile: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Built> {
  const dir = join(work, `context-${++count}`);
  const out = join(work, `out-${count}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'Dockerfile'), dockerfile);
  const base = ['--build-context', baseContext()];
  const run = await outcrop(['build', '--progress=rawjson', ...base, ...args, '-o', out, dir], { root, env });
  const printed = stepsOf(run.stderr)
    .map(({ output }) => output)
    .join('');
  return { ...run, out, printed };
}

function serve(files: ReadonlyMap<string, Uint8Array>) {
  return startHttpServer((request, response) => {
    const data = files.get((request.url ?? '').replace(/\?.*$/, ''));
    if (data === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'last-modified': 'Wed, 01 Feb 2023 10:00:00 GMT' }).end(data);
  });
}

test('ADD of URLs: names, times, checksums, modes', async () => {
  await using server = await serve(
    new Map([
      ['/plain.txt', Buffer.from('plain\n')],
      ['/b%20c', Buffer.from('spaced')],
    ]),
  );
  const { url } = server;
  const digest = 'sha256:dacf36547c7774a0a170806363b5d412991fbc0d6260b2c00b1d3a80a816c23f';
  const run = await build(`FROM scratch
ADD ${url}/plain.txt /x
ADD ${url}/plain.txt?query=1 ${url}/b%20c /dir/
ADD --checksum=${digest} --chmod=640 --chown=3:4 ${url}/plain.txt /checked
`);
  assert.equal(run.code, 0, run.stderr);
  assert.deepEqual(readdirSync(join(run.out, 'dir')), ['b c', 'plain.txt']);
  const { mode, mtimeMs } = statSync(join(run.out, 'x'));
  assert.equal(mode & 0o7777, 0o600);
  assert.equal(mtimeMs, Date.parse('2023-02-01T10:00:00Z'));
  assert.equal(statSync(join(run.out, 'checked')).mode & 0o7777, 0o640);

  const wrong = await build(`FROM scratch\nADD --checksum=sha256:${'0'.repeat(64)} ${url}/plain.txt /x\n`);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /digest mismatch for .*plain\.txt: sha256:dacf3654.* \(expected: sha256:0000/);
  const missing = await build(`FROM scratch\nADD ${url}/nothing /x\n`);
  assert.match(missing.stderr, /nothing: invalid response status 404/);
});

test('ADD unpacks downloads of every compression when it is asked to', async t => {
  const dir = join(work, 'packed');
  mkdirSync(dir);
  writeFileSync(join(dir, 'f'), 'packed\n');
  const programs = ['gzip', 'bzip2', 'xz', 'zstd'].filter(name => spawnSync(name, ['--version']).status === 0);
  t.diagnostic(programs.join(', '));
  const files = new Map(
    ['none', ...programs].map(name => {
      const tar = execFileSync('tar', ['-c', '-C', dir, 'f']);
      return [`/${name}`, name === 'none' ? tar : execFileSync(name, ['-c'], { input: tar })] as const;
    }),
  );
  await using server = await serve(files);
  const lines = [...files.keys()].map(
    path => `ADD --unpack ${server.url}${path} /u${path}/\nADD ${server.url}${path} /p/`,
  );
  const run = await build(`FROM scratch\n${lines.join('\n')}\n`);
  assert.equal(run.code, 0, run.stderr);
  for (const [path, data] of files) {
    assert.equal(readFileSync(join(run.out, 'u', path, 'f'), 'utf8'), 'packed\n');
    assert.deepEqual(readFileSync(join(run.out, 'p', path)), data);
  }
});

test('ADD of git repositories: refs, directories, checksums, the repository itself', async () => {
  await using server = await startGitServer();
  const { url } = server;
  const first = server.commit({ a: 'one\n', 'sub/b': 'sub\n' });
  server.git('tag', 'v1');
  server.commit({ a: 'two\n' });
  const run = await build(`FROM scratch
ADD ${url} /main
ADD ${url}#v1 /tag
ADD ${url}#v1:sub /sub
ADD ${url}?tag=v1&subdir=sub&checksum=${first} /query
ADD --keep-git-dir=true ${url}#${first} /kept
ADD --checksum=${first.slice(0, 12)} --exclude=sub ${url}#v1 /checked
`);
  assert.equal(run.code, 0, run.stderr);
  const read = (path: string) => readFileSync(join(run.out, path), 'utf8');
  assert.deepEqual(['main/a', 'tag/a', 'sub/b', 'query/b', 'kept/a', 'checked/a'].map(read), [
    'two\n',
    'one\n',
    'sub\n',
    'sub\n',
    'one\n',
    'one\n',
  ]);
  assert.ok(existsSync(join(run.out, 'kept/.git/HEAD')));
  assert.equal(existsSync(join(run.out, 'main/.git')), false);
  assert.equal(existsSync(join(run.out, 'checked/sub')), false);

  const wrong = await build(`FROM scratch\nADD --checksum=${'1'.repeat(40)} ${url}#v1 /x\n`);
  assert.match(wrong.stderr, new RegExp(`expected checksum to match 1{40}, got ${first}`));
  const noDirectory = await build(`FROM scratch\nADD ${url}#main:nope /x\n`);
  assert.match(noDirectory.stderr, /invalid subdir nope/);
});

test('SOURCE_DATE_EPOCH may name a repository, a download or a stage', async () => {
  await using server = await startGitServer();
  const { url } = server;
  server.commit({ a: 'one\n' });
  const commit = 'ARG SOURCE_DATE_EPOCH\nRUN echo epoch $SOURCE_DATE_EPOCH\n';
  const named = await build(`FROM base\n${commit}`, [
    '--build-arg=SOURCE_DATE_EPOCH=src',
    `--build-context=src=${url}`,
  ]);
  assert.match(named.printed, /^epoch 1577934245$/m);
  const stage = await build(`FROM scratch AS src\nADD ${url} /\nFROM base\n${commit}RUN echo again\n`, [
    '--build-arg=SOURCE_DATE_EPOCH=src',
  ]);
  assert.equal(stage.code, 0, stage.stderr);
  assert.match(stage.stderr, /echo epoch 1577934245/);
  await using files = await serve(new Map([['/x', Buffer.from('x')]]));
  const download = await build(`FROM base\n${commit}`, [
    '--build-arg=SOURCE_DATE_EPOCH=src',
    `--build-context=src=${files.url}/x`,
  ]);
  assert.match(download.printed, /^epoch 1675245600$/m);
});

test('the default ssh agent and one by name', {
  skip: spawnSync('ssh-agent', ['-h']).error && 'no ssh-agent',
}, async () => {
  const socket = join(work, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  try {
    for (let waited = 0; !existsSync(socket) && waited < 5000; waited += 20) await delay(20);
    assert.ok(lstatSync(socket).isSocket());
    const dockerfile = `FROM base
RUN --mount=type=ssh,mode=0666,uid=5,required stat -c "%a %u %F" $SSH_AUTH_SOCK
RUN --mount=type=ssh,id=work,target=/work.sock test -S /work.sock && echo $SSH_AUTH_SOCK
`;
    const run = await build(dockerfile, ['--ssh', 'default', '--ssh', `work=${socket}`], { SSH_AUTH_SOCK: socket });
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.printed, '666 5 socket\n/work.sock\n');
    const without = await build('FROM base\nRUN --mount=type=ssh,required echo no agent\n');
    assert.match(without.stderr, /unset ssh forward key default/);
  } finally {
    agent.kill();
  }
});

test('networks and privileges, and what is not allowed', async () => {
  await using server = await serve(new Map([['/x', Buffer.from('reached\n')]]));
  // Two streams may come in either order.
  const fetch = `wget -qO- ${server.url}/x 2>&1`;
  const host = await build(`FROM base\nRUN --network=host ${fetch}\n`, ['--allow', 'network.host']);
  assert.equal(host.printed, 'reached\n', host.stderr);
  const none = await build(`FROM base\nRUN --network=none ls /sys/class/net; ${fetch} || echo cut off\n`);
  assert.match(none.printed, /^lo\n[\s\S]*cut off\n$/);
  const flag = await build(`FROM base\nRUN ${fetch} || echo cut off\n`, ['--network', 'none']);
  assert.match(flag.printed, /cut off\n$/);
  const privileged = await build(
    'FROM base\nRUN --security=insecure mkdir /m && mount -t tmpfs x /m && echo mounted\n',
    ['--allow', 'security.insecure'],
  );
  assert.equal(privileged.printed, 'mounted\n', privileged.stderr);
  for (const [step, entitlement] of [
    ['--network=host', 'network.host'],
    ['--security=insecure', 'security.insecure'],
  ]) {
    const refused = await build(`FROM base\nRUN ${step} true\n`);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, new RegExp(`${entitlement}[\\s\\S]*is not allowed[\\s\\S]*--allow ${entitlement}`));
  }
});

test('steps that share a locked cache run one after the other', async () => {
  const step = (name: string) =>
    `FROM base AS ${name}\nRUN --mount=type=cache,id=lock,target=/c,sharing=locked sh -c 'test -e /c/busy && echo clash; touch /c/busy; sleep 0.4; rm /c/busy; echo ${name}; touch /${name}'\n`;
  const run = await build(`${step('a')}${step('b')}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n`);
  assert.equal(run.code, 0, run.stderr);
  assert.deepEqual(run.printed.split('\n').sort(), ['', 'a', 'b']);
});

test('cold mounts are empty, and the filled ones stay as they are', async () => {
  const dockerfile =
    "FROM base AS made\nRUN --mount=type=cache,id=cold,target=/c sh -c 'ls /c; touch /c/file'\nFROM scratch\nCOPY --from=made /etc/passwd /\n";
  const filled = await build(dockerfile);
  assert.equal(filled.code, 0, filled.stderr);
  const cold = await build(dockerfile, ['--no-cache', '--cold-mounts']);
  // Not --no-cache, which gives up what the mounts hold.
  const warm = await build(dockerfile.replace('touch', 'touch  '));
  assert.deepEqual([filled.printed, cold.printed, warm.printed], ['', '', 'file\n']);
  assert.deepEqual(readdirSync(join(root, 'cold-mounts')), []);
  const list = (await outcrop(['history', 'ls', '--json'], { root })).stdout.toString().trim().split('\n');
  const options = list.map(line => JSON.parse(line).options);
  assert.equal(options.filter(({ coldMounts }) => coldMounts === true).length, 1);
  const number = JSON.parse(list[options.findIndex(({ coldMounts }) => coldMounts)] ?? '').number;
  const why = await outcrop(['why', String(number), 'RUN'], { root });
  assert.match(why.stdout.toString(), /\/c was empty, as --cold-mounts asked for/);
});

test('a device needs the labs channel', async () => {
  const run = await build('FROM base\nRUN --device=vendor.example/dev=x true\n');
  assert.match(run.stderr, /device feature is only supported in Dockerfile frontend 1\.14\.0-labs or later/);
});
