import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'outcrop-library-'));
/** A project that has the packed package among its dependencies. */
const project = join(work, 'project');
const installed = join(project, 'node_modules/outcrop');

before(() => {
  const source = join(work, 'source');
  mkdirSync(source);
  for (const name of ['package.json', 'bin', 'README.md', 'LICENSE'])
    cpSync(join(ROOT, name), join(source, name), { recursive: true });
  execFileSync(process.execPath, ['scripts/build.ts', '--types'], {
    cwd: ROOT,
    env: { ...process.env, OUTDIR: join(source, 'dist') },
  });
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', work], { cwd: source });
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(work, 'outcrop-0.1.0.tgz'), '--strip-components=1', '-C', installed]);
  writeFileSync(join(project, 'package.json'), '{"type":"module"}\n');
});

after(() => rmSync(work, { recursive: true, force: true }));

test('a project that installed the package parses Dockerfiles with it', () => {
  const program = join(project, 'images.mjs');
  cpSync(join(ROOT, 'examples/dockerfile-library/images.mjs'), program);
  writeFileSync(
    join(project, 'Dockerfile'),
    'ARG V=3\nFROM \\\n  alpine:$V AS build\nRUN <<EOF\nFROM x\nEOF\nFROM build\nFROM --platform=linux/amd64 "busybox"\n',
  );
  const run = spawnSync(process.execPath, [program], { cwd: project, encoding: 'utf8' });
  assert.equal(run.stderr, '');
  assert.equal(run.stdout, 'Dockerfile:3:3: alpine:3\nDockerfile:8:29: busybox\n');

  writeFileSync(join(project, 'Dockerfile'), 'FROM a\nCOPPY x y\n');
  const failed = spawnSync(process.execPath, [program], { cwd: project, encoding: 'utf8' });
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /^Dockerfile:2: unknown instruction: COPPY \(did you mean COPY\?\)\n/);
});

test('its types fit a strict project', () => {
  const dependencies = join(project, 'node_modules/@bufbuild');
  mkdirSync(dependencies);
  symlinkSync(join(ROOT, 'node_modules/@bufbuild/protobuf'), join(dependencies, 'protobuf'));
  mkdirSync(join(project, 'node_modules/@types'));
  symlinkSync(join(ROOT, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'));
  writeFileSync(
    join(project, 'user.ts'),
    `import { listTokens, parseFile, parseStages, type Token } from 'outcrop/dockerfile';
import * as llb from 'outcrop/llb';
const file = parseFile('FROM a');
const tokens: Token[] = listTokens('FROM a', file);
for (const { instructions } of parseStages(file).stages)
  for (const one of instructions) if (one.kind === 'COPY') console.log(one.from.length, one.lines.start);
// @ts-expect-error: a token is no text.
const wrong: string = tokens[0];
export { llb, wrong };
`,
  );
  const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'esnext', '--types', 'node'];
  const run = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), [...options, 'user.ts'], {
    cwd: project,
    encoding: 'utf8',
  });
  assert.equal(run.stdout, '');
  assert.equal(run.status, 0);
});

test('the library takes nothing from the machine', () => {
  const text = readFileSync(join(installed, 'dist/dockerfile.js'), 'utf8');
  const found = /(?:^|[;}])import\b|\bimport\(|getBuiltinModule|\brequire\(|\bprocess\.|\bfetch\(/.exec(text);
  assert.equal(found?.[0], undefined);
});
