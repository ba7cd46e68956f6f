import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compilePatterns } from '../../../wire/fsutil/patterns.ts';
import { expandWord } from '../expand.ts';
import type { Instruction, Stage } from '../instruction.ts';
import { parseFile } from '../parse-file.ts';
import { parseStages } from '../parse-stages.ts';
import { parseCheckOptions } from './check-options.ts';
import { createLinter, type Linter } from './linter.ts';
import * as rules from './plan-rules.ts';

const LINES = { start: 1, end: 1 };
const AMD64 = { os: 'linux', architecture: 'amd64' };

/** The messages of all vectors, to which what a rule says has to belong. */
const known = new Set(
  readdirSync(new URL('../../../../test/vectors/dockerfile/lint/', import.meta.url))
    .filter(name => name.endsWith('.json'))
    .flatMap(name => {
      const file = new URL(`../../../../test/vectors/dockerfile/lint/${name}`, import.meta.url);
      const vector: { warnings: { ruleName: string; detail: string }[] } = JSON.parse(readFileSync(file, 'utf8'));
      return vector.warnings.map(({ ruleName, detail }) => `${ruleName}: ${detail}`);
    }),
);

function messagesOf(run: (linter: Linter) => void): string[] {
  const messages: string[] = [];
  run(createLinter(parseCheckOptions(''), ({ rule, message }) => messages.push(`${rule.name}: ${message}`)));
  return messages;
}

function stageOf(text: string): Stage {
  const stage = parseStages(parseFile(text)).stages[0];
  assert.ok(stage);
  return stage;
}

function instructionOf<Kind extends Instruction['kind']>(
  kind: Kind,
  line: string,
): Extract<Instruction, { kind: Kind }> {
  const found = stageOf(`FROM scratch\n${line}\n`).instructions.find(
    (instruction): instruction is Extract<Instruction, { kind: Kind }> => instruction.kind === kind,
  );
  assert.ok(found);
  return found;
}

const CASES: readonly (readonly [what: string, run: (linter: Linter) => void, warnings: number])[] = [
  ['unknown name in FROM', linter => rules.lintFromArgs(linter, LINES, ['TWO'], ['ONE', 'BUILDPLATFORM']), 1],
  ['name in FROM near another', linter => rules.lintFromArgs(linter, LINES, ['ONEE'], ['ONE']), 1],
  ['known name in FROM', linter => rules.lintFromArgs(linter, LINES, ['ONE'], ['ONE']), 0],
  ['redundant platform', linter => platform(linter, 'FROM --platform=$TARGETPLATFORM a'), 1],
  ['quoted redundant platform', linter => platform(linter, 'FROM --platform="$TARGETPLATFORM" a'), 1],
  ['variable platform', linter => platform(linter, 'FROM --platform=linux/$X a'), 0],
  ['constant platform', linter => platform(linter, 'FROM --platform=arm64 a AS base'), 1],
  ['constant platform in the name', linter => platform(linter, 'FROM --platform=linux/amd64 a AS build-amd64'), 0],
  ['bad platform', linter => platform(linter, 'FROM --platform=a/b/c/d a'), 0],
  ['other base', linter => base(linter, { os: 'linux', architecture: 'arm64' }), 1],
  ['other base with variant', linter => base(linter, { os: 'linux', architecture: 'arm' }), 1],
  ['same base', linter => base(linter, AMD64), 0],
  ['undefined variable', linter => variables(linter, 'NOPE'), 1],
  ['undefined variable near another', linter => variables(linter, 'PAHT'), 1],
  ['declared variable', linter => variables(linter, 'A'), 0],
  ['argument outside of the environment', linter => variables(linter, 'BUILDKIT_SBOM_SCAN_STAGE'), 0],
  ['legacy pair', linter => rules.lintLegacyPairs(linter, instructionOf('ENV', 'ENV a b')), 1],
  ['legacy label', linter => rules.lintLegacyPairs(linter, instructionOf('LABEL', 'label a b')), 1],
  ['pairs', linter => rules.lintLegacyPairs(linter, instructionOf('ENV', 'ENV a=b')), 0],
  ['secret', linter => rules.lintSecretName(linter, 'ARG', 'API_KEY', LINES), 1],
  ['secret in lower case', linter => rules.lintSecretName(linter, 'ENV', 'secret_thing', LINES), 1],
  ['public key', linter => rules.lintSecretName(linter, 'ARG', 'PUBLIC_KEY', LINES), 0],
  ['keyboard', linter => rules.lintSecretName(linter, 'ARG', 'KEYBOARD', LINES), 0],
  ['relative directory', linter => rules.lintRelativeWorkdir(linter, 'app', LINES), 1],
  ['shell form', linter => rules.lintShellForm(linter, instructionOf('CMD', 'cmd x')), 1],
  ['exec form', linter => rules.lintShellForm(linter, instructionOf('ENTRYPOINT', 'ENTRYPOINT ["x"]')), 0],
  ['second command', linter => rules.lintUsedOnce(linter, instructionOf('CMD', 'CMD x'), LINES), 1],
  ['first command', linter => rules.lintUsedOnce(linter, instructionOf('CMD', 'CMD x'), undefined), 0],
  ['ignored source', linter => ignored(linter, './a/../b', ['b']), 1],
  ['ignored root', linter => ignored(linter, '.', ['*']), 1],
  ['root with other patterns', linter => ignored(linter, '/', ['a']), 0],
  ['ignored with exceptions', linter => ignored(linter, 'a', ['*', '!b']), 0],
  ['host port and upper case', linter => port(linter, '8080:80/TCP', 'TCP', true), 2],
  ['plain port', linter => port(linter, '80/tcp', 'tcp', false), 0],
];

test(`rules that need a plan: ${CASES.length} cases`, () => {
  for (const [what, run, warnings] of CASES) {
    const messages = messagesOf(run);
    assert.equal(messages.length, warnings, what);
    for (const message of messages) assert.ok(known.has(message), `${what}: ${message}`);
  }
});

function platform(linter: Linter, line: string): void {
  const stage = stageOf(`${line}\n`);
  const variables = new Map([['TARGETPLATFORM', 'linux/amd64']]);
  rules.lintPlatformFlag(linter, stage, expandWord(stage.platform, variables), 'linux/amd64');
}

function base(linter: Linter, actual: typeof AMD64): void {
  rules.lintBasePlatform(linter, { name: 'base', lines: LINES }, AMD64, actual);
}

function variables(linter: Linter, name: string): void {
  rules.lintVariables(linter, LINES, [name], { declared: new Set(['A']), names: ['LONGER', 'PATH'] });
}

function ignored(linter: Linter, source: string, patterns: readonly string[]): void {
  rules.lintIgnoredSource(linter, { kind: 'COPY', lines: LINES }, source, compilePatterns(patterns));
}

function port(linter: Linter, text: string, protocol: string, hasHost: boolean): void {
  rules.lintExposedPort(linter, { text, protocol, hasHost }, LINES);
}
