/**
 * Measures whole builds, in rounds that take the builders in turn, and prints medians and, with two builders, the ratios of
 * pairs. `--buildkit ADDR` puts a running BuildKit daemon beside outcrop (through `buildctl` on the PATH); `--only NAME`
 * chooses scenarios; `--rounds N` how often.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Builder,
  type BuildOptions,
  buildkitBuilder,
  median,
  NO_OUTPUT,
  outcropBuilder,
  type Run,
} from './builders.ts';
import { busyboxLayout, writeLargeFile, writeSmallFiles } from './fixture.ts';

interface Scenario {
  readonly name: string;
  readonly what: string;
  /** BuildKit's time on the machine of the target, for reading; the target as a share of it. */
  readonly target: string;
  prepare(context: string): void;
  /** What is done before each timed build, untimed. */
  before(builder: Builder, options: BuildOptions, round: number): Promise<void>;
  options(context: string): BuildOptions;
}

const { values } = parseArgs({
  options: { buildkit: { type: 'string' }, only: { type: 'string' }, rounds: { type: 'string', default: '3' } },
});
const rounds = Number(values.rounds);
const outcropCommand = [process.execPath, resolve('bin/outcrop.js')];
const work = mkdtempSync(join(tmpdir(), 'outcrop-bench-'));

const nothing = async () => undefined;
const cold = async (builder: Builder) => builder.reset();
const warm = async (builder: Builder, options: BuildOptions) => void (await builder.build(options));
const plain = (context: string): BuildOptions => ({ context });
const archive = (context: string): BuildOptions => ({ context, output: `type=oci,dest=${join(work, 'out.tar')}` });

const scenarios: readonly Scenario[] = [
  {
    name: 'rebuild',
    what: 'nothing changed, 20 steps, 10,000 files',
    target: '0.5',
    prepare(context) {
      writeSmallFiles(join(context, 'src'), 10_000);
      const runs = Array.from({ length: 17 }, (_, index) => `RUN echo ${index} > /step${index}`);
      writeFileSync(
        join(context, 'Dockerfile'),
        ['FROM base', 'WORKDIR /app', 'COPY src /app/src', ...runs, ''].join('\n'),
      );
    },
    before: warm,
    options: plain,
  },
  {
    name: 'run-steps',
    what: '40 RUN steps, none cached',
    target: '0.5',
    prepare(context) {
      const runs = Array.from({ length: 40 }, (_, index) => `RUN echo ${index} > /step${index}`);
      writeFileSync(join(context, 'Dockerfile'), ['FROM base', ...runs, ''].join('\n'));
    },
    before: nothing,
    options: context => ({ context, noCache: true }),
  },
  {
    name: 'copy-large',
    what: 'COPY of 512 MB, cold',
    target: '0.33',
    prepare(context) {
      writeLargeFile(join(context, 'large.bin'), 512);
      writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY large.bin /\n');
    },
    before: cold,
    options: plain,
  },
  {
    name: 'gzip-large',
    what: 'gzip export of those 512 MB to an archive',
    target: '0.6',
    prepare(context) {
      writeLargeFile(join(context, 'large.bin'), 512);
      writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY large.bin /\n');
    },
    async before(builder, options) {
      await builder.reset();
      await builder.build({ context: options.context, output: NO_OUTPUT });
    },
    options: archive,
  },
  {
    name: 'files-cold',
    what: 'COPY of 50,000 small files, cold',
    target: '0.7',
    prepare: fiftyThousand,
    before: cold,
    options: plain,
  },
  {
    name: 'files-unchanged',
    what: 'the same again, unchanged',
    target: '0.3',
    prepare: fiftyThousand,
    before: warm,
    options: plain,
  },
  {
    name: 'files-one-changed',
    what: 'the same again, one file changed',
    target: '0.5',
    prepare: fiftyThousand,
    async before(builder, options, round) {
      await builder.build(options);
      writeFileSync(join(options.context, 'src/d7/f700.txt'), `${builder.name} ${round} ${Date.now()}\n`);
    },
    options: plain,
  },
];

function fiftyThousand(context: string): void {
  writeSmallFiles(join(context, 'src'), 50_000);
  writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY src /src\n');
}

const layout = busyboxLayout(work, outcropCommand);
const builders = [
  outcropBuilder(outcropCommand, join(work, 'root'), layout),
  ...(values.buildkit ? [buildkitBuilder(values.buildkit, layout)] : []),
];
try {
  for (const scenario of scenarios) {
    if (values.only && !values.only.split(',').includes(scenario.name)) continue;
    const context = join(work, scenario.name);
    mkdirSync(context, { recursive: true });
    scenario.prepare(context);
    const runs = new Map<Builder, Run[]>(builders.map(builder => [builder, []]));
    for (const builder of builders) await builder.reset();
    for (let round = 0; round < rounds; round++) {
      for (const builder of builders) {
        const options = scenario.options(context);
        await scenario.before(builder, options, round);
        runs.get(builder)?.push(await builder.build(options));
      }
    }
    const [ours = [], theirs] = [...runs.values()];
    const seconds = `${median(ours.map(run => run.seconds)).toFixed(2)} s`;
    const memory = `${Math.round(Math.max(...ours.map(run => run.memory)) / 1e6)} MB`;
    const ratios = theirs ? ours.map((run, index) => run.seconds / (theirs[index]?.seconds ?? Number.NaN)) : [];
    const ratio = theirs
      ? `ratio ${median(ratios).toFixed(2)} (target ${scenario.target})`
      : `(target ${scenario.target} of BuildKit)`;
    const other = theirs ? `, buildkit ${median(theirs.map(run => run.seconds)).toFixed(2)} s` : '';
    console.log(`${scenario.name.padEnd(18)} ${scenario.what.padEnd(42)} ${seconds}${other}, ${memory}  ${ratio}`);
    rmSync(context, { recursive: true, force: true });
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
