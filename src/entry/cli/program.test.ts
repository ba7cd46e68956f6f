import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgram } from './program.ts';

test('help of every command is readable: no line longer than 100 characters, every option explained', () => {
  const program = createProgram();
  for (const command of [program, ...program.commands]) {
    let text = '';
    command.configureOutput({
      getOutHelpWidth: () => 100,
      writeOut: part => {
        text += part;
      },
    });
    command.outputHelp();
    for (const line of text.split('\n')) assert.ok(line.length <= 100, `${command.name()}: ${line}`);
    assert.doesNotMatch(text, /default: \[\]|undefined/);
    for (const option of command.options) assert.notEqual(option.description, '', `${command.name()} ${option.flags}`);
    if (command !== program) assert.notEqual(command.summary(), '', command.name());
  }
});

test('an unknown command is an error that names the near miss', async () => {
  const program = createProgram();
  let text = '';
  program.configureOutput({
    writeErr: part => {
      text += part;
    },
  });
  await assert.rejects(program.parseAsync(['node', 'outcrop', 'biuld']));
  assert.match(text, /unknown command 'biuld'\n\(Did you mean build\?\)/);
});
