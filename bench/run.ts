/**
 * Measures whole builds, in rounds that take the builders in turn, and prints medians and, with two builders, the ratios of
 * pairs. `--buildkit ADDR` puts a running BuildKit daemon beside outcrop (through `buildctl` on the PATH); `--only NAME`
 * chooses scenarios; `--rounds N` how often.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Builder, type BuildOptions, NO_OUTPUT } from './builders.ts';
import { writeLargeFile, writeSmallFiles } from './fixture.ts';
import { measureInTurn, openMeasured } from './measured.ts';

interface Scenario {
  readonly name: string;
  readonly what: string;
  /** A share of BuildKit's time. */
  readonly aim: string;
  prepare(context: string): void;
  /** What is done before each timed build, untimed. */
  before(builder: Builder, options: BuildOptions, round: number): Promise<void>;
  options(context: string): BuildOptions;
}

using measured = openMeasured();
const { work, builders } = measured;

const nothing = async () => undefined;
const cold = async (builder: Builder) => builder.reset();
const warm = async (builder: Builder, options: BuildOptions) => void (await builder.build(options));
const plain = (context: string): BuildOptions => ({ context });
const archive = (context: string): BuildOptions => ({ context, output: `type=oci,dest=${join(work, 'out.tar')}` });

const scenarios: readonly Scenario[] = [
  {
    name: 'rebuild',
    what: 'nothing changed, 20 steps, 10,000 files',
    aim: '0.5',
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
    aim: '0.5',
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
    aim: '0.33',
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
    aim: '0.6',
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
    aim: '0.7',
    prepare: fiftyThousand,
    before: cold,
    options: plain,
  },
  {
    name: 'files-unchanged',
    what: 'the same again, unchanged',
    aim: '0.3',
    prepare: fiftyThousand,
    before: warm,
    options: plain,
  },
  {
    name: 'files-one-changed',
    what: 'the same again, one file changed',
    aim: '0.5',
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

for (const scenario of scenarios) {
  if (!measured.isChosen(scenario.name)) continue;
  const context = join(work, scenario.name);
  mkdirSync(context, { recursive: true });
  scenario.prepare(context);
  for (const builder of builders) await builder.reset();
  await measureInTurn(measured, scenario, async (builder, round) => {
    const options = scenario.options(context);
    await scenario.before(builder, options, round);
    return builder.build(options);
  });
  rmSync(context, { recursive: true, force: true });
}
