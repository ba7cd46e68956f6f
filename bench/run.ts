/**
 * Measures whole builds, in rounds that take the builders in turn, and prints medians and, with two builders, the ratios of
 * pairs. `--buildkit ADDR` puts a running BuildKit daemon beside outcrop (through `buildctl` on the PATH); `--only NAME`
 * chooses scenarios; `--rounds N` how often.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { busyboxLayout, writeLargeFile, writeSmallFiles } from './fixture.ts';

interface Run {
  readonly seconds: number;
  /** Peak of the sum over the process tree, in bytes; of the client only where a daemon builds. */
  readonly memory: number;
}

interface BuildOptions {
  readonly context: string;
  readonly noCache?: boolean;
  /** As in `--output`: an image in the builder's store unless given. */
  readonly output?: string;
}

interface Builder {
  readonly name: string;
  build(options: BuildOptions): Promise<Run>;
  /** Forgets every result. */
  reset(): Promise<void>;
}

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
/** Builds, and keeps the result in the cache alone. */
const NO_OUTPUT = 'type=cacheonly';
const outcropCommand = [process.execPath, resolve('bin/outcrop.js')];
const work = mkdtempSync(join(tmpdir(), 'outcrop-bench-'));

async function timed(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  const start = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let complaints = '';
  let memory = 0;
  child.stderr.on('data', (chunk: Buffer) => (complaints = `${complaints}${chunk}`.slice(-4000)));
  const sampler = setInterval(() => (memory = Math.max(memory, treeMemory(child.pid ?? 0))), 50);
  const code = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  clearInterval(sampler);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${complaints}`);
  return { seconds: (performance.now() - start) / 1000, memory };
}

/** Resident bytes of a process and all below it. */
function treeMemory(pid: number): number {
  try {
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    return Number(rss) * 1024 + children.reduce((sum, child) => sum + treeMemory(Number(child)), 0);
  } catch {
    return 0;
  }
}

function outcropBuilder(layout: string): Builder {
  const root = join(work, 'root');
  const env = { ...process.env, OUTCROP_ROOT: root };
  const [command = '', ...args] = outcropCommand;
  return {
    name: 'outcrop',
    build: ({ context, noCache, output }) =>
      timed(
        command,
        [
          ...args,
          'build',
          '--progress=plain',
          `--build-context=base=oci-layout://${layout}`,
          ...(noCache ? ['--no-cache'] : []),
          ...(output ? ['--output', output] : []),
          context,
        ],
        env,
      ),
    reset: async () => rmSync(root, { recursive: true, force: true }),
  };
}

function buildkitBuilder(address: string, layout: string): Builder {
  const index: unknown = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  const digest = /sha256:[0-9a-f]{64}/.exec(JSON.stringify(index))?.[0] ?? '';
  const addr = ['--addr', address];
  return {
    name: 'buildkit',
    build: ({ context, noCache, output }) =>
      timed(
        'buildctl',
        [
          ...addr,
          'build',
          '--progress=plain',
          '--frontend=dockerfile.v0',
          `--local=context=${context}`,
          `--local=dockerfile=${context}`,
          `--oci-layout=base=${layout}`,
          `--opt=context:base=oci-layout://base@${digest}`,
          ...(noCache ? ['--no-cache'] : []),
          ...(output === NO_OUTPUT ? [] : ['--output', output ?? 'type=image,name=outcrop-bench']),
        ],
        process.env,
      ),
    reset: async () => void (await timed('buildctl', [...addr, 'prune', '--all'], process.env)),
  };
}

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

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const layout = busyboxLayout(work, outcropCommand);
const builders = [outcropBuilder(layout), ...(values.buildkit ? [buildkitBuilder(values.buildkit, layout)] : [])];
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
