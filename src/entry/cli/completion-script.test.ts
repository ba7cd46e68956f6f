import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commandOf, completionScript } from './completion-script.ts';
import { createProgram } from './program.ts';

const program = createProgram();
const directory = mkdtempSync(join(tmpdir(), 'outcrop-completion-'));
after(() => rmSync(directory, { recursive: true }));
mkdirSync(join(directory, 'project'));
writeFileSync(join(directory, 'Dockerfile'), '');
// What the script calls for names of images.
writeFileSync(join(directory, 'outcrop'), '#!/bin/sh\necho app:1.0\necho base:latest\n', { mode: 0o755 });

/** What bash offers at the end of a line. */
function complete(line: string): string[] {
  const script = `${completionScript(program, 'bash')}
COMP_LINE="outcrop $1"
COMP_POINT=\${#COMP_LINE}
COMP_WORDBREAKS=' =:'
_outcrop
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { PATH: `${directory}:${process.env['PATH'] ?? ''}` };
  const out = execFileSync('bash', ['--norc', '-c', script, 'bash', line], { cwd: directory, env });
  return out
    .toString()
    .split('\n')
    .filter(line => line !== '');
}

test('bash completes commands, options, values, files and images', () => {
  assert.deepEqual(complete('bu'), ['build']);
  assert.ok(complete('').includes('prune'));
  assert.deepEqual(complete('build --no-cache-'), ['--no-cache-filter']);
  assert.deepEqual(complete('build --progress r'), ['rawjson']);
  assert.deepEqual(complete('build --progress=r'), ['rawjson']);
  assert.ok(complete('b --progress=').includes('plain'));
  assert.deepEqual(complete('build --output type=o'), ['oci']);
  assert.deepEqual(complete('build -f Dock'), ['Dockerfile']);
  assert.deepEqual(complete('build --target x'), []);
  assert.deepEqual(complete('build -t app pro'), ['project']);
  assert.deepEqual(complete('rmi b'), ['base:latest']);
  assert.deepEqual(complete('rmi app:1'), ['1.0']);
  assert.deepEqual(complete('du --filter unt'), ['until=']);
  assert.deepEqual(complete('completion z'), ['zsh']);
  assert.deepEqual(complete('version --j'), ['--json']);
});

test('the scripts of the other shells name every command and option', () => {
  for (const shell of ['zsh', 'fish']) {
    const script = completionScript(program, shell);
    for (const command of program.commands.map(commandOf)) {
      for (const name of command.names) assert.ok(script.includes(name), `${shell} ${name}`);
      for (const { long } of command.options) {
        const written = shell === 'fish' ? `-l ${long.slice(2)} ` : long;
        assert.ok(script.includes(written), `${shell} ${command.name} ${long}`);
      }
    }
  }
});

test('texts with quotes and brackets do not break a script', () => {
  const zsh = completionScript(program, 'zsh');
  assert.match(
    zsh,
    /'\*'--annotation='\[annotate the image\\: \\\[TYPE\\\[PLATFORM\\\]\\:\\\]KEY=VALUE\]:annotation: '/,
  );
  // zsh reads single quotes as bash does, so bash can tell whether they are balanced.
  execFileSync('bash', ['--norc', '-n'], { input: completionScript(program, 'bash') });
});

test('every option that has words for values is an option of some command', () => {
  const options = new Set(program.commands.flatMap(command => command.options.map(({ long }) => long)));
  const worded = program.commands
    .flatMap(command => commandOf(command).options)
    .filter(option => option.value?.what.kind === 'words');
  assert.ok(worded.length >= 12);
  for (const { long } of worded) assert.ok(options.has(long));
});
