import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DockerfileError } from './error.ts';
import { parseFile } from './parse-file.ts';
import { parseStages } from './parse-stages.ts';
import { renderError, renderErrorSource, renderSourceBlock } from './source-block.ts';

interface Vector {
  readonly message: string;
  readonly sources: readonly { readonly lines: readonly [number, number] | null; readonly block: string }[];
}

const folder = new URL('../../../test/vectors/dockerfile/errors/', import.meta.url);
const names = readdirSync(folder).flatMap(name => (name.endsWith('.json') ? name.slice(0, -'.json'.length) : []));

function parseError(text: string): DockerfileError | undefined {
  try {
    parseStages(parseFile(text));
  } catch (error) {
    assert.ok(error instanceof DockerfileError);
    return error;
  }
  return undefined;
}

test(`errors and their source blocks: ${names.length} vectors`, t => {
  let parsed = 0;
  for (const name of names) {
    const text = readFileSync(new URL(`${name}.Dockerfile`, folder), 'utf8');
    const vector: Vector = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
    for (const { lines, block } of vector.sources) {
      if (lines === null) continue;
      const [start, end] = lines;
      assert.equal(renderSourceBlock('Dockerfile', text, { start, end }), block, name);
    }
    const error = parseError(text);
    if (error === undefined) continue;
    parsed++;
    assert.equal(error.message, vector.message, name);
    assert.equal(renderErrorSource('Dockerfile', text, error), vector.sources.map(({ block }) => block).join(''), name);
  }
  t.diagnostic(`${parsed} of them are found by parsing, the others by planning`);
  assert.ok(parsed >= 40);
});

test('an error for people names the line and underlines the word', () => {
  const text =
    'FROM node:20\nWORKDIR /app\nCOPY package.json .\n\nRUN npm ci\n\nCOPPY . .\nRUN npm run build\nCMD ["a"]\n';
  const error = parseError(text);
  assert.ok(error);
  assert.equal(
    renderError('Dockerfile', text, error),
    `Dockerfile:7: unknown instruction: COPPY (did you mean COPY?)
   5 | RUN npm ci
   6 |
   7 | COPPY . .
     | ^^^^^
   8 | RUN npm run build
`,
  );
});

test('an error in a continuation shows the line of its word', () => {
  const text = 'FROM scratch\nENV A=1 \\\n\tB\n';
  const error = parseError(text);
  assert.ok(error);
  assert.equal(
    renderError('Dockerfile', text, error),
    `Dockerfile:3: Syntax error - can't find = in "B". Must be of the form: name=value
   1 | FROM scratch
   2 | ENV A=1 \\
   3 | \tB
     | \t^
`,
  );
});

test('an error without a place is one line', () => {
  assert.equal(renderError('Dockerfile', '', new DockerfileError('no', [])), 'Dockerfile: no\n');
});
