import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type OutlineJson, renderOutline } from './outline.ts';
import { parseFile } from './parse-file.ts';
import { parseStages } from './parse-stages.ts';
import { listTargets, renderTargets } from './targets.ts';

interface Vector {
  readonly outline: { readonly json: OutlineJson; readonly text: string };
  readonly targets: { readonly json: { readonly targets: unknown }; readonly text: string };
}

const folder = new URL('../../../test/vectors/dockerfile/outline/', import.meta.url);
const names = readdirSync(folder).flatMap(name => (name.endsWith('.json') ? name.slice(0, -'.json'.length) : []));

test(`targets, and the text of outlines: ${names.length} vectors`, () => {
  for (const name of names) {
    const vector: Vector = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
    const { stages } = parseStages(parseFile(readFileSync(new URL(`${name}.Dockerfile`, folder))));
    const targets = listTargets(stages);
    assert.deepEqual(targets, vector.targets.json.targets, name);
    assert.equal(renderTargets(targets), vector.targets.text, name);
    assert.equal(renderOutline(vector.outline.json), vector.outline.text, name);
  }
});

test('an inline check comment is no obstacle', () => {
  const { stages } = parseStages(parseFile('FROM scratch AS a\n# check=skip=all\nENV a b\nONBUILD RUN x\n'));
  assert.equal(renderTargets(listTargets(stages)), 'TARGET      DESCRIPTION\na (default) \n');
});
