import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { detectCheck } from '../directive.ts';
import { DockerfileError } from '../error.ts';
import { expandWord } from '../expand.ts';
import { locationJson } from '../location-json.ts';
import { parseFile } from '../parse-file.ts';
import { parseStages } from '../parse-stages.ts';
import { CheckOptionsError, parseCheckOptions } from './check-options.ts';
import { createLinter, formatWarning, type LintWarning, lintErrorMessage } from './linter.ts';
import { lintContinuations, lintDefaultBases, lintObserver, lintStages } from './parse-rules.ts';
import type { RuleName } from './rule.ts';

interface Vector {
  readonly opts?: Readonly<Record<string, string>>;
  readonly warnings: readonly {
    readonly ruleName: string;
    readonly description: string;
    readonly url?: string;
    readonly detail: string;
    readonly location: { readonly ranges: readonly { readonly start: { readonly line: number } }[] };
  }[];
}

const AT_PARSING: ReadonlySet<string> = new Set<RuleName>([
  'NoEmptyContinuation',
  'MaintainerDeprecated',
  'StageNameCasing',
  'FromAsCasing',
  'InvalidDefinitionDescription',
  'ReservedStageName',
  'DuplicateStageName',
  'ConsistentInstructionCasing',
  'InvalidDefaultArgInFrom',
]);

const folder = new URL('../../../../test/vectors/dockerfile/lint/', import.meta.url);
const names = readdirSync(folder).flatMap(name => (name.endsWith('.json') ? name.slice(0, -'.json'.length) : []));

test(`rules that need no plan: ${names.length} vectors`, t => {
  let count = 0;
  for (const name of names) {
    const text = readFileSync(new URL(`${name}.Dockerfile`, folder), 'utf8');
    const vector: Vector = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
    const expected = vector.warnings.filter(({ ruleName }) => AT_PARSING.has(ruleName));
    count += expected.length;
    assert.deepEqual(
      lint(text, vector.opts?.['build-arg:BUILDKIT_DOCKERFILE_CHECK']).map(({ rule, message, lines }) => ({
        ruleName: rule.name,
        description: rule.description,
        ...(rule.url !== '' && { url: rule.url }),
        detail: message,
        lines: locationJson(lines).ranges?.map(({ start }) => start.line),
      })),
      expected.map(({ location, ...warning }) => ({
        ...warning,
        lines: location.ranges.map(({ start }) => start.line),
      })),
      name,
    );
  }
  t.diagnostic(`${count} warnings`);
});

function lint(text: string, checkArgument: string | undefined): LintWarning[] {
  const warnings: LintWarning[] = [];
  const options = parseCheckOptions(checkArgument ?? detectCheck(text)?.value ?? '');
  const linter = createLinter(options, warning => warnings.push(warning));
  try {
    const file = parseFile(text);
    lintContinuations(linter, file);
    const { metaArgs, stages } = parseStages(file, lintObserver(linter));
    lintStages(linter, stages);
    const defaults = new Map([
      ['TARGETPLATFORM', 'linux/amd64'],
      ['BUILDPLATFORM', 'linux/amd64'],
    ]);
    for (const { key, value } of metaArgs.flatMap(({ args }) => args)) {
      if (value !== undefined) defaults.set(key, expandWord(value, defaults).text);
    }
    lintDefaultBases(linter, stages, defaults, file.escape);
  } catch (error) {
    assert.ok(error instanceof DockerfileError);
  }
  return warnings;
}

test('options that cannot be read', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['skip', 'invalid check option "skip"'],
    ['foo=a', 'invalid check option "foo"'],
    ['error=maybe', 'failed to parse check option "error=maybe": strconv.ParseBool: parsing "maybe": invalid syntax'],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseCheckOptions(text), { name: 'CheckOptionsError', message });
  }
  assert.deepEqual([...parseCheckOptions('skip=A;error=1;experimental=B;error=2').experimental], ['B;error=2']);
  assert.throws(() => parseCheckOptions('skip=A;'), CheckOptionsError);
});

test('a warning in a build, and as an error', () => {
  const warnings = lint('FROM scratch as a\nMAINTAINER b\n', undefined);
  assert.deepEqual(warnings.map(formatWarning), [
    "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)",
    'MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)',
  ]);
  assert.equal(lintErrorMessage(warnings), 'lint violation found for rules: FromAsCasing, MaintainerDeprecated');
});
