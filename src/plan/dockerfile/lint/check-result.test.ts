import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseFile } from '../parse-file.ts';
import { renderWarnings, type WarningJson, warningJson } from './check-result.ts';
import { lintFile } from './lint-file.ts';
import type { LintWarning } from './linter.ts';
import { lintRule, type RuleName } from './rule.ts';

interface Vector {
  readonly dockerfileName?: string;
  readonly warnings: readonly (WarningJson & { readonly ruleName: RuleName })[];
  readonly text: string;
}

const folder = new URL('../../../../test/vectors/dockerfile/lint/', import.meta.url);
const names = readdirSync(folder).flatMap(name => (name.endsWith('.json') ? name.slice(0, -'.json'.length) : []));

test(`results of a check: ${names.length} vectors`, () => {
  for (const name of names) {
    const text = readFileSync(new URL(`${name}.Dockerfile`, folder), 'utf8');
    const vector: Vector = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
    const warnings = vector.warnings.map(({ ruleName, detail, location }): LintWarning => {
      const start = location.ranges?.[0]?.start.line ?? 0;
      const end = location.ranges?.at(-1)?.end.line ?? 0;
      return { rule: lintRule(ruleName), message: detail, lines: { start, end } };
    });
    assert.deepEqual(warnings.map(warningJson), vector.warnings, name);
    assert.equal(renderWarnings(vector.dockerfileName ?? 'Dockerfile', text, warnings), vector.text, name);
  }
});

test('a file is linted by its text alone', () => {
  const source = '# check=skip=FromAsCasing\nFROM scratch as A\nENV b \\\n\nc\n';
  const { staged, warnings } = lintFile(source, parseFile(source));
  assert.equal(staged.stages.length, 1);
  assert.deepEqual(
    warnings.map(({ rule, lines }) => [rule.name, lines?.start]),
    [
      ['NoEmptyContinuation', 5],
      ['StageNameCasing', 2],
    ],
  );
});
