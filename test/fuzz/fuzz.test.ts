/** The short form of `run.ts`: always the same cases, unless OUTCROP_FUZZ_SEED and OUTCROP_FUZZ_CASES choose others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { caseOf } from './fuzz.ts';

const CASES = Number(process.env['OUTCROP_FUZZ_CASES'] ?? 2000);
const SEED = Number(process.env['OUTCROP_FUZZ_SEED'] ?? 20261124);

test(`any text is read or refused, in time that grows with it (seed ${SEED})`, async t => {
  const counts = new Map<string, number>();
  for (let index = 0; index < CASES; index++) {
    const { subject, input, run } = caseOf(SEED, index);
    counts.set(subject, (counts.get(subject) ?? 0) + 1);
    try {
      await run();
    } catch (cause) {
      const shown = JSON.stringify(input.toString());
      assert.fail(new Error(`${subject}, --seed ${SEED} --case ${index}: ${shown}: ${cause}`, { cause }));
    }
  }
  t.diagnostic(`seed ${SEED}: ${CASES} cases: ${[...counts].map(([name, count]) => `${count} ${name}`).join(', ')}`);
});
