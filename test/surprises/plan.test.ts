/** `outcrop plan` tells beforehand what `outcrop build` does then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { type Scenario, scenario } from './scenario.ts';

const base = baseContext();

interface PlanStep {
  readonly text: string;
  readonly outcome: string;
  readonly causes: readonly { readonly says: string }[];
}

async function planned(it: Scenario, flags: readonly string[] = []): Promise<readonly PlanStep[]> {
  const args = ['plan', '--json', '--build-context', base, ...flags, it.path('.')];
  const { code, stdout, stderr } = await outcrop(args, { root: it.root });
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout.toString()) as { steps: PlanStep[] }).steps;
}

const outcomes = (steps: readonly PlanStep[]) => steps.map(({ outcome }) => outcome);

test('a plan says what hits, what runs and why, and runs nothing', async () => {
  using it = scenario(
    'FROM base AS build\nCOPY a.txt /\nRUN cp /a.txt /out\nFROM base\nRUN echo 1 > /one\nCOPY --from=build /out /out\nRUN echo 2 > /two\n',
    { 'a.txt': 'a\n' },
  );
  assert.deepEqual(outcomes(await planned(it)), Array(5).fill('run'));
  const { ran } = await it.build();
  assert.equal(ran.length, 5);
  assert.deepEqual(outcomes(await planned(it)), ['not needed', 'not needed', 'not needed', 'not needed', 'hit']);
  it.write('a.txt', 'b\n');
  const changed = await planned(it);
  assert.deepEqual(outcomes(changed), ['run', 'run', 'hit', 'maybe', 'maybe']);
  assert.match(changed[0]?.causes[0]?.says ?? '', /^a\.txt content /);
  const again = await planned(it);
  assert.deepEqual(outcomes(again), outcomes(changed), 'a plan leaves nothing behind that the next one goes by');
  assert.deepEqual(again[0]?.causes, changed[0]?.causes);
  const { stdout } = await outcrop(['history', 'ls', '--json'], { root: it.root });
  assert.equal(stdout.toString().trim().split('\n').length, 1, 'a plan is no build');
  assert.equal((await it.build()).ran.length, 4);
});
