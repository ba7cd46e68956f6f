import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { startCpuTimer } from '../../../test/support/cpu-timer.ts';
import { ExpansionError, expandForDisplay, expandHeredoc, expandWord, expandWords } from './expand.ts';

interface Vector {
  readonly id: string;
  readonly mode: 'word' | 'words' | 'heredoc' | 'display';
  readonly escape: string;
  readonly word: string;
  readonly env: readonly (readonly [string, string])[];
  readonly result?: string;
  readonly words?: readonly string[];
  readonly used?: readonly string[];
  readonly unset?: readonly string[];
  readonly error?: string;
}

const vectors: { readonly cases: readonly Vector[] } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/dockerfile/expand.json', import.meta.url), 'utf8'),
);

for (const mode of ['word', 'words', 'heredoc', 'display'] as const) {
  const cases = vectors.cases.filter(vector => vector.mode === mode);
  test(`expansion, mode ${mode}: ${cases.length} of ${vectors.cases.length} vectors`, () => {
    for (const vector of cases) check(vector);
  });
}

function check({ id, mode, escape: escapeChar, word, env, ...expected }: Vector): void {
  const variables = new Map(env);
  const title = `${id}: ${word}`;
  if (expected.error !== undefined) {
    assert.throws(() => run(), { name: 'ExpansionError', message: expected.error }, title);
    return;
  }
  const actual = run();
  if ('words' in expected) assert.deepEqual('words' in actual ? actual.words : undefined, expected.words, title);
  else {
    assert.equal('text' in actual ? actual.text : undefined, expected.result, title);
    assert.deepEqual([...actual.used].sort(), expected.used, title);
    assert.deepEqual([...actual.unset].sort(), expected.unset, title);
  }

  function run() {
    if (mode === 'words') return expandWords(word, variables, { escape: escapeChar });
    if (mode === 'heredoc') return expandHeredoc(word, variables);
    if (mode === 'display') return expandForDisplay(word, variables, { escape: escapeChar });
    return expandWord(word, variables, { escape: escapeChar });
  }
}

const tricky = fc.string({ unit: fc.constantFrom(...'ab $${}}:-+?#%/*\'"\\`<\n\u0085é😀1_') });

test('any text expands or fails with ExpansionError', () => {
  const variables = new Map([
    ['a', 'ab/a*b'],
    ['b', ''],
  ]);
  fc.assert(
    fc.property(tricky, fc.constantFrom('\\', '`'), (word, escapeChar) => {
      for (const expand of [expandWord, expandWords, expandForDisplay, expandHeredoc]) {
        try {
          expand(word, variables, { escape: escapeChar });
        } catch (error) {
          assert.ok(error instanceof ExpansionError);
        }
      }
    }),
  );
});

test('a word in single quotes is itself', () => {
  fc.assert(
    fc.property(tricky, word => {
      fc.pre(!word.includes("'"));
      assert.equal(expandWord(`'${word}'`, new Map()).text, word);
    }),
  );
});

test('a value is not scanned again', () => {
  fc.assert(
    fc.property(tricky, value => {
      assert.equal(expandWord('$x', new Map([['x', value]])).text, value);
    }),
  );
});

test('long words and deep patterns take linear time', () => {
  const taken = startCpuTimer();
  const variables = new Map([['x', 'a'.repeat(20_000)]]);
  expandWord(`\${x//${'*a'.repeat(50)}b/y}`, variables);
  assert.throws(() => expandWord('${x:-'.repeat(13_000), variables), ExpansionError);
  expandWords('a $x "b" '.repeat(500), new Map([['x', 'y z']]));
  assert.ok(taken() < 5_000);
});
