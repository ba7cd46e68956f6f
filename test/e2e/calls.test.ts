/** What `--call` and `--check` print, and how they end. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { outcrop } from '../support/cli.ts';
import { workDirectory } from '../support/work-directory.ts';

const work = workDirectory('calls');
const root = join(work, 'root');

const FILE = '# V version\nARG V=1\n# b it is b\nFROM scratch AS b\nARG V\nENV a b\nCOPY x /x\n';
const BLOCK = `--------------------
   4 |     FROM scratch AS b
   5 |     ARG V
   6 | >>> ENV a b
   7 |     COPY x /x
   8 |     
--------------------
`;
const WARNING = `WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/
"ENV key=value" should be used instead of legacy "ENV key value" format
`;

function context(name: string, dockerfile: string): string {
  mkdirSync(join(work, name));
  writeFileSync(join(work, name, 'Dockerfile'), dockerfile);
  return name;
}

test('a check tells warnings on standard output and ends with 1', async () => {
  const dir = context('warned', FILE);
  for (const args of [['--check'], ['--call=check'], ['--call=outline', '--check'], ['--check', '-q']]) {
    const run = await outcrop(['build', ...args, dir], { root, cwd: work });
    assert.equal(run.code, 1, run.stderr);
    assert.equal(
      run.stdout.toString(),
      `Check complete, 1 warning has been found!\n\n${WARNING}warned/Dockerfile:6\n${BLOCK}`,
    );
  }
  const ignored = await outcrop(['build', '--call=check,ignorestatus=true', dir], { root, cwd: work });
  assert.equal(ignored.code, 0);
});

test('a clean file, and one that cannot be planned', async () => {
  const clean = await outcrop(['build', '--check', '-'], { root, input: 'FROM scratch\nCOPY nowhere /\n' });
  assert.equal(clean.code, 0, clean.stderr);
  assert.equal(clean.stdout.toString(), 'Check complete, no warnings found.\n');
  const bad = await outcrop(['build', '--check', '-q', '-'], { root, input: 'FROM scratch\nCOPPY x /\n' });
  assert.equal(bad.code, 1);
  assert.equal(bad.stdout.toString(), '');
  assert.equal(
    bad.stderr,
    `ERROR: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
stdin:2
--------------------
   1 |     FROM scratch
   2 | >>> COPPY x /
   3 |     
--------------------

`,
  );
});

test('results as JSON, on standard output and in the metadata file', async () => {
  const dir = context('json', FILE);
  const file = join(work, 'metadata.json');
  const args = ['build', '--call=check,format=json', '--metadata-file', file, dir];
  const run = await outcrop(args, { root, cwd: work });
  assert.equal(run.code, 1);
  const result = JSON.parse(run.stdout.toString());
  assert.equal(result.warnings[0].ruleName, 'LegacyKeyValueFormat');
  assert.equal(Buffer.from(result.sources[0].data, 'base64').toString(), FILE);
  const metadata = JSON.parse(readFileSync(file, 'utf8'));
  assert.deepEqual(metadata['result.json'], result);
  assert.equal(metadata['result.statuscode'], '1');
  assert.equal(metadata.version, '1.0.0');
});

test('outline, targets and the list of requests', async () => {
  const dir = context('outline', FILE);
  const text = async (call: string) => {
    const run = await outcrop(['build', `--call=${call}`, '--progress=none', dir], { root, cwd: work });
    assert.equal(run.code, 0, run.stderr);
    return run.stdout.toString();
  };
  assert.equal(
    await text('outline'),
    `TARGET:      b\nDESCRIPTION: it is b\n\nBUILD ARG   VALUE   DESCRIPTION\nV           1       version\n\n`,
  );
  assert.equal(await text('targets'), 'TARGET      DESCRIPTION\nb (default) it is b\n');
  assert.match(await text('subrequests.describe'), /^NAME +VERSION DESCRIPTION\noutline /);
  assert.equal(JSON.parse(await text('outline,format=json')).args[0].value, '1');
  assert.equal(Object.keys(JSON.parse(await text('convertllb')).def).length, 3);
});

test('a request that nobody knows', async () => {
  const run = await outcrop(['build', '--call=nonsense', '-'], { root, input: 'FROM scratch\n' });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /ERROR: failed to build: failed to solve: unsupported request frontend\.nonsense\n$/);
});

test('another frontend is refused with its line; a newer one of ours is told', async () => {
  const foreign = await outcrop(['build', '-'], { root, input: '# syntax=example/frontend:1\nFROM scratch\n' });
  assert.equal(foreign.code, 1);
  assert.match(foreign.stderr, />>> # syntax=example\/frontend:1/);
  assert.match(foreign.stderr, /failed to solve: syntax=example\/frontend:1: only docker\/dockerfile is built in/);
  const newer = await outcrop(['build', '-'], {
    root,
    input: '# syntax=docker/dockerfile:1.99\nFROM scratch\nCOPY <<E /e\nE\n',
  });
  assert.equal(newer.code, 0, newer.stderr);
  assert.match(newer.stderr, / - syntax=docker\/dockerfile:1\.99 is newer than the built-in frontend/);
});
