/** What the programs that measure builders have in common: their options, and their builders on one base image. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Builder, buildkitBuilder, median, outcropBuilder, type Run } from './builders.ts';
import { busyboxLayout } from './fixture.ts';

export interface Measured extends Disposable {
  /** A directory that is gone when disposed. */
  readonly work: string;
  readonly outcropCommand: readonly string[];
  /** The base image, an OCI layout. */
  readonly layout: string;
  /** Outcrop, and BuildKit if its address is given. */
  readonly builders: readonly [Builder, ...Builder[]];
  readonly rounds: number;
  /** Whether a scenario is to be measured. */
  isChosen(name: string): boolean;
}

/** Reads the options `--buildkit ADDR`, `--only NAME,…` and `--rounds N`. */
export function openMeasured(): Measured {
  const { values } = parseArgs({
    options: { buildkit: { type: 'string' }, only: { type: 'string' }, rounds: { type: 'string', default: '3' } },
  });
  const outcropCommand = [process.execPath, resolve('bin/outcrop.js')];
  const work = mkdtempSync(join(tmpdir(), 'outcrop-bench-'));
  const layout = busyboxLayout(work, outcropCommand);
  return {
    work,
    outcropCommand,
    layout,
    builders: [
      outcropBuilder(outcropCommand, join(work, 'root'), layout),
      ...(values.buildkit ? [buildkitBuilder(values.buildkit, layout)] : []),
    ],
    rounds: Number(values.rounds),
    isChosen: name => !values.only || values.only.split(',').includes(name),
    [Symbol.dispose]: () => rmSync(work, { recursive: true, force: true }),
  };
}

/** Measures in rounds that take the builders in turn, and prints medians, the peak of memory and the ratio of pairs. */
export async function measureInTurn(
  { builders, rounds }: Measured,
  { name, what, aim }: { readonly name: string; readonly what: string; readonly aim: string },
  run: (builder: Builder, round: number) => Promise<Run>,
): Promise<void> {
  const all = new Map<Builder, Run[]>(builders.map(builder => [builder, []]));
  for (let round = 0; round < rounds; round++) {
    for (const builder of builders) all.get(builder)?.push(await run(builder, round));
  }
  const [ours = [], theirs] = [...all.values()];
  const seconds = (runs: readonly Run[]) => `${median(runs.map(one => one.seconds)).toFixed(2)} s`;
  const memory = `${Math.round(Math.max(...ours.map(one => one.memory)) / 1e6)} MB`;
  const ratio = median(ours.map((one, index) => one.seconds / (theirs?.[index]?.seconds ?? Number.NaN))).toFixed(2);
  const other = theirs ? `, buildkit ${seconds(theirs)}` : '';
  const aimed = theirs ? `ratio ${ratio} (aim ${aim})` : `(aim ${aim} of BuildKit)`;
  console.log(`${name.padEnd(18)} ${what.padEnd(42)} ${seconds(ours)}${other}, ${memory}  ${aimed}`);
}
