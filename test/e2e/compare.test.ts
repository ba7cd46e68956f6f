/** `outcrop compare`: the two builders side by side, on files, git revisions and builds of the history. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { type Scenario, scenario } from '../surprises/scenario.ts';

const base = baseContext();

const DOCKERFILE = `FROM base AS build
LABEL version=1
COPY a.txt /
RUN cp /a.txt /out
FROM base AS test
COPY a.txt /
RUN cat /a.txt
FROM base
RUN echo 1 > /one
COPY --from=build /out /out
`;

interface Row {
  readonly text: string;
  readonly outcrop: { readonly outcome: string; readonly reason: string; readonly duration?: number };
  readonly legacy: { readonly outcome: string; readonly reason: string; readonly duration?: number };
  readonly difference?: string;
}

interface Compared {
  readonly against: string;
  readonly mode: string;
  readonly rows: readonly Row[];
  readonly differences: Readonly<Record<string, number>>;
}

async function compare(it: Scenario, ...flags: string[]): Promise<Compared> {
  const args = ['compare', '--json', '--build-context', base, ...flags, it.path('.')];
  const { code, stdout, stderr } = await outcrop(args, { root: it.root });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.toString()) as Compared;
}

const pairs = ({ rows }: Compared) => rows.map(({ outcrop: one, legacy }) => `${one.outcome}, ${legacy.outcome}`);

function commit(it: Scenario): void {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.com', ...args], {
      cwd: dirname(it.path('Dockerfile')),
    });
  git('init', '-q');
  git('add', '.');
  git('commit', '-q', '-m', 'one');
}

test('against a revision: what either builder finds, and why they differ', async () => {
  using it = scenario(DOCKERFILE, { 'a.txt': 'a\n' });
  commit(it);
  const same = await compare(it);
  assert.equal(same.against, 'HEAD');
  assert.deepEqual(pairs(same), [
    'no step, hit',
    'hit, hit',
    'hit, hit',
    'not needed, hit',
    'not needed, hit',
    'hit, hit',
    'hit, hit',
  ]);

  it.write('Dockerfile', DOCKERFILE.replace('version=1', 'version=2'));
  const label = await compare(it);
  assert.deepEqual(pairs(label).slice(0, 3), ['no step, run', 'hit, run', 'hit, run']);
  assert.equal(label.rows[0]?.legacy.reason, 'its text changed');
  assert.equal(label.rows[1]?.legacy.reason, 'follows LABEL version=2');
  assert.equal(label.rows.at(-1)?.legacy.outcome, 'maybe');
  assert.deepEqual(label.differences, { 'metadata-in-chain': 4 });

  it.write('Dockerfile', DOCKERFILE);
  it.write('a.txt', 'b\n');
  const edited = await compare(it);
  assert.deepEqual(pairs(edited), [
    'no step, hit',
    'run, run',
    'run, run',
    'not needed, run',
    'not needed, run',
    'hit, hit',
    'maybe, maybe',
  ]);
  assert.equal(edited.rows[1]?.outcrop.reason, 'a.txt changed');
  assert.deepEqual(edited.differences, { 'unneeded-stage': 2 });
  // Nothing was built, and asking again tells the same.
  assert.deepEqual(await compare(it), edited);
  const { stdout } = await outcrop(['history', 'ls', '--json'], { root: it.root });
  assert.equal(stdout.toString(), '');
});

test('--run: both builders really build, in a root of their own', async () => {
  using it = scenario(DOCKERFILE, { 'a.txt': 'a\n', '.dockerignore': '.git\n' });
  commit(it);
  it.write('Dockerfile', DOCKERFILE.replace('version=1', 'version=2'));
  const ran = await compare(it, '--run');
  assert.equal(ran.mode, 'run');
  // The stage that the legacy builder made anew has the same files, so what copies of it is found.
  assert.deepEqual(pairs(ran), [
    'no step, run',
    'hit, run',
    'hit, run',
    'not needed, hit',
    'not needed, hit',
    'hit, hit',
    'hit, hit',
  ]);
  assert.ok((ran.rows[2]?.legacy.duration ?? 0) > 0);
  assert.deepEqual(
    readdirSync(it.root).filter(name => name.startsWith('compare-')),
    [],
  );
});

test('against a build of the history, whose files are gone', async () => {
  using it = scenario(DOCKERFILE, { 'a.txt': 'a\n' });
  await it.build();
  assert.deepEqual(pairs(await compare(it, '--against', '1')).slice(0, 3), ['no step, hit', 'hit, hit', 'hit, hit']);
  it.write('a.txt', 'b\n');
  const edited = await compare(it, '--against', 'latest');
  assert.equal(edited.against, 'build 1');
  assert.deepEqual(pairs(edited).slice(0, 4), ['no step, hit', 'run, run', 'run, run', 'not needed, maybe']);
  assert.equal(edited.rows[1]?.legacy.reason, 'a.txt changed');
});

test('a secret argument of a build of the history is the same or another one, and is not told', async () => {
  using it = scenario('FROM base\nARG NPM_TOKEN\nRUN echo 1 > /one\n');
  await it.build({ flags: ['--build-arg', 'NPM_TOKEN=hunter1'] });
  const against = (value: string) => compare(it, '--against', '1', '--build-arg', `NPM_TOKEN=${value}`);
  assert.deepEqual(pairs(await against('hunter1')), ['no step, hit', 'hit, hit']);
  const other = await against('hunter2');
  assert.deepEqual(pairs(other), ['no step, hit', 'run, run']);
  assert.doesNotMatch(JSON.stringify(other), /hunter/);
});

test('what only one of the builders knows', async () => {
  using it = scenario('FROM base\nRUN true\nRUN --mount=type=cache,target=/c true\nRUN false\n');
  const { rows, differences } = await compare(it, '--against', 'none');
  assert.deepEqual(
    rows.map(({ legacy }) => legacy.outcome),
    ['run', 'refused', 'not reached'],
  );
  assert.match(rows[1]?.legacy.reason ?? '', /^the --mount option requires BuildKit/);
  assert.deepEqual(differences, { 'buildkit-only': 1 });

  // Extra hosts are in BuildKit's key of a RUN, and in none of the legacy builder.
  it.write('Dockerfile', 'FROM base\nRUN true\n');
  await it.build();
  const hosts = await compare(it, '--against', '1', '--add-host', 'a:10.0.0.1');
  assert.deepEqual(pairs(hosts), ['run, hit']);
  assert.deepEqual(hosts.differences, { 'not-in-legacy-key': 1 });
});

test('a person reads a table; a state that there is not is an error', async () => {
  using it = scenario('FROM base\nCOPY a.txt /\nENV A=1\n', { 'a.txt': 'a\n' });
  const run = (...flags: string[]) =>
    outcrop(['compare', '--build-context', base, ...flags, it.path('.')], { root: it.root });
  const { stdout } = await run('--against', 'none');
  assert.equal(
    stdout.toString(),
    `the working tree after nothing: outcrop would run 1 of 2 instructions, the legacy builder 2

  line                outcrop, BuildKit  legacy builder
     2  COPY a.txt /  run                run
     3  ENV A=1       no step            run
`,
  );
  const { code, stderr } = await run('--against', 'nosuch');
  assert.notEqual(code, 0);
  assert.match(stderr, /nosuch: neither tree or none, nor a git revision, nor a build of the history/);
  const { stderr: refused } = await run('--against', 'none', '--to', 'none');
  assert.match(refused, /--to none: there is nothing to build/);
});
