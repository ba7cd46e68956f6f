/**
 * Measures how long a Dockerfile takes from its text to its graph: parsed, planned and marshalled, at four sizes. Each size gets a
 * process of its own, for the memory; the first plan of a process is what a build sees, the median of the later ones is without
 * the start of the engine of the language.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseFile } from '../src/plan/dockerfile/parse-file.ts';
import { planDockerfile } from '../src/plan/frontend/plan-dockerfile.ts';
import { recordedHost } from '../src/plan/frontend/testing-host.ts';
import { digestOf } from '../src/wire/oci/digest.ts';
import { startCpuTimer } from '../test/support/cpu-timer.ts';
import { median } from './builders.ts';

const SIZES = [1250, 2500, 5000, 10_000];
const ROUNDS = 7;
/** Instructions of a stage, its FROM included. */
const STAGE = 10;

interface Measured {
  readonly parse: number;
  readonly first: number;
  readonly median: number;
  /** Bytes by which the process has grown after the first plan. */
  readonly memory: number;
  readonly vertices: number;
}

/** Stages that stand on the base, on one another, and take files of earlier ones, the way large files do. */
function dockerfileOf(instructions: number): string {
  const lines = ['ARG VERSION=1'];
  for (let stage = 0; stage < instructions / STAGE; stage++) {
    const base = stage % 3 === 0 ? 'base' : `s${stage - 1}`;
    lines.push(
      `FROM ${base} AS s${stage}`,
      'ARG VERSION',
      `ENV STAGE=${stage} PATH=/s${stage}/bin:$PATH`,
      `WORKDIR /src/\${STAGE}`,
      `COPY a${stage}.txt b.txt ./`,
      stage === 0 ? 'COPY c.txt /c' : `COPY --from=s${stage - 1} /out /in`,
      stage < 2 ? 'COPY d.txt /d' : `COPY --from=s${Math.floor(stage / 2)} /out /half`,
      `RUN --mount=type=cache,target=/cache make "V=$VERSION" \\\n    && make install`,
      `LABEL stage.name="s${stage}" version=$VERSION`,
      `RUN <<EOF\necho ${stage}\ntouch /out\nEOF`,
    );
  }
  return `${lines.join('\n')}\n`;
}

async function measure(instructions: number): Promise<Measured> {
  const text = Buffer.from(dockerfileOf(instructions));
  const config = JSON.stringify({ os: 'linux', architecture: 'amd64', config: { Env: ['PATH=/bin'] } });
  const plan = () =>
    planDockerfile(
      recordedHost({
        buildPlatform: 'linux/amd64',
        sessionID: 's',
        image: () => ({ digest: digestOf(config), config: Buffer.from(config) }),
        file: (_, path) => (path === 'Dockerfile' ? text : undefined),
      }),
      new Map(),
      AbortSignal.timeout(600_000),
    );
  const before = process.resourceUsage().maxRSS;
  const [first, { platforms }] = await timed(plan);
  const memory = (process.resourceUsage().maxRSS - before) * 1024;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) times.push((await timed(plan))[0]);
  const parses: number[] = [];
  for (let round = 0; round < ROUNDS; round++) parses.push((await timed(async () => parseFile(text)))[0]);
  const vertices = platforms[0]?.definition.def.length ?? 0;
  return { parse: median(parses), first, median: median(times), memory, vertices };
}

/** Milliseconds that the thread was on a processor, and what came of them. */
async function timed<Value>(run: () => Promise<Value>): Promise<[number, Value]> {
  const taken = startCpuTimer();
  const value = await run();
  return [taken(), value];
}

const [size] = process.argv.slice(2);
if (size !== undefined) {
  console.log(JSON.stringify(await measure(Number(size))));
} else {
  for (const instructions of SIZES) {
    const { stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), String(instructions)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { parse, first, median, memory, vertices }: Measured = JSON.parse(stdout);
    const time = (milliseconds: number) => `${Math.round(milliseconds)} ms`;
    console.log(
      `${instructions} instructions, ${instructions / STAGE} stages, ${vertices} vertices: parsed in ${time(parse)}, ` +
        `planned in ${time(first)} (later ${time(median)}), ${(memory / 1e6).toFixed(1)} MB`,
    );
  }
}
