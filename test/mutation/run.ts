/**
 * The mutation test: `node test/mutation/run.ts --changes 300 --pairs 100 --seed N`. What is said of a build after a random
 * change must name the change, for every step that ran, and nothing else. `--minutes N` ends it early, `--json` prints the
 * report for machines.
 */
import { parseArgs } from 'node:util';
import { enterPrivateMountNamespace } from '../../src/host/system/namespace.ts';
import { runMutations } from './run-mutations.ts';

// The engine enters it before anything asynchronous runs.
enterPrivateMountNamespace();

const { values } = parseArgs({
  options: {
    changes: { type: 'string', default: '300' },
    pairs: { type: 'string', default: '100' },
    seed: { type: 'string' },
    'per-root': { type: 'string', default: '12' },
    minutes: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const report = await runMutations(
  {
    seed,
    singles: Number(values.changes),
    pairs: Number(values.pairs),
    changes: Number(values['per-root']),
    ...(values.minutes === undefined ? {} : { until: Date.now() + 60_000 * Number(values.minutes) }),
  },
  failure => console.error(`WRONG ${failure}\n`),
  values.json ? undefined : told => console.error(told),
);
if (values.json) process.stdout.write(JSON.stringify(report));
else {
  for (const [kind, count] of Object.entries(report.kinds)) console.log(`${String(count).padStart(5)}  ${kind}`);
  const { singles, pairs, explained, failures, dockerfiles } = report;
  console.log(
    `\nseed ${seed}: ${singles} single changes and ${pairs} pairs on ${dockerfiles} Dockerfiles, ${explained} steps that ran explained, ${failures.length} wrongly`,
  );
  process.exitCode = failures.length === 0 ? 0 : 1;
}
