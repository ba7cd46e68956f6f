/**
 * Measures caches that travel: export and import of a cache of 40 steps beside BuildKit, in rounds that take the builders in turn,
 * and the import of a cache of 10,000 records. Options as of `run.ts`. Needs `docker-registry` on the PATH.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDockerRegistry } from '../test/support/docker-registry.ts';
import { startHttpServer } from '../test/support/http-server.ts';
import { type Builder, type BuildOptions, median, NO_OUTPUT, type Run } from './builders.ts';
import { measureInTurn, openMeasured } from './measured.ts';

interface Scenario {
  readonly name: string;
  readonly what: string;
  /** Done before each timed build, untimed. */
  before(builder: Builder): Promise<void>;
  options(builder: Builder, round: number): BuildOptions;
}

using measured = openMeasured();
const { work, outcropCommand, layout, builders, rounds } = measured;
const context = join(work, 'context');
await using registry = await startDockerRegistry();
// BuildKit takes `localhost` for a registry without TLS.
const host = registry.host.replace('127.0.0.1', 'localhost');
const steps: BuildOptions = { context, output: NO_OUTPUT };
const inRegistry = (name: string) => `type=registry,ref=${host}/${name}`;
const madeBy = ({ name }: Builder) => ({
  registry: inRegistry(`made-by-${name}`),
  directory: join(work, `made-by-${name}`),
});
const empty = (builder: Builder) => builder.reset();

const scenarios: readonly Scenario[] = [
  {
    name: 'export',
    what: 'steps that are built, to a registry',
    async before(builder) {
      await builder.reset();
      await builder.build(steps);
    },
    options: ({ name }, round) => ({ ...steps, cacheTo: `${inRegistry(`export-${name}-${round}`)},mode=max` }),
  },
  {
    name: 'build-and-export',
    what: 'nothing is built before, to a registry',
    before: empty,
    options: ({ name }, round) => ({ ...steps, cacheTo: `${inRegistry(`both-${name}-${round}`)},mode=max` }),
  },
  {
    name: 'export-again',
    what: 'nothing new, to the same place',
    async before(builder) {
      await builder.reset();
      await builder.build({ ...steps, cacheTo: `${inRegistry(`again-${builder.name}`)},mode=max` });
    },
    options: ({ name }) => ({ ...steps, cacheTo: `${inRegistry(`again-${name}`)},mode=max` }),
  },
  {
    name: 'import',
    what: 'empty root, from a registry',
    before: empty,
    options: builder => ({ ...steps, cacheFrom: madeBy(builder).registry }),
  },
  {
    name: 'import-directory',
    what: 'empty root, from a directory',
    before: empty,
    options: builder => ({ ...steps, cacheFrom: `type=local,src=${madeBy(builder).directory}` }),
  },
  {
    name: 'import-files',
    what: 'empty root, from a registry, files wanted',
    before: empty,
    options: builder => ({
      context,
      output: `type=local,dest=${join(work, 'files')}`,
      cacheFrom: madeBy(builder).registry,
    }),
  },
];

mkdirSync(context);
const runs = Array.from({ length: 40 }, (_, index) => `RUN echo ${index} > /step${index}`);
writeFileSync(join(context, 'Dockerfile'), ['FROM base', ...runs, ''].join('\n'));
for (const builder of builders) {
  await builder.reset();
  const { directory, registry: place } = madeBy(builder);
  await builder.build({ ...steps, cacheTo: `${place},mode=max` });
  await builder.build({ ...steps, cacheTo: `type=local,dest=${directory},mode=max` });
}
for (const scenario of scenarios) {
  if (!measured.isChosen(scenario.name)) continue;
  await measureInTurn(measured, { ...scenario, aim: '0.5' }, async (builder, round) => {
    await scenario.before(builder);
    rmSync(join(work, 'files'), { recursive: true, force: true });
    return builder.build(scenario.options(builder, round));
  });
}
if (measured.isChosen('records')) await measureRecords(10_000);

/** A cache in a bucket, the only kind of place whose records may be that many: elsewhere a reader stops at 1 MiB. */
async function measureRecords(count: number): Promise<void> {
  const document = manyRecords(count);
  await using server = await startHttpServer((request, response) => {
    if (request.url?.includes('/manifests/')) response.writeHead(200, { 'content-length': document.length });
    else response.writeHead(404);
    response.end(request.url?.includes('/manifests/') ? document : '');
  });
  const attributes = `region=x,bucket=b,access_key_id=x,secret_access_key=x,use_path_style=true`;
  const from = `type=s3,${attributes},endpoint_url=${server.url}`;
  const [ours] = builders;
  const imports: number[] = [];
  const [without, withCache]: [Run[], Run[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    await ours.reset();
    without.push(await ours.build(steps));
    await ours.reset();
    withCache.push(await ours.build({ ...steps, cacheFrom: from }));
    await ours.reset();
    imports.push(await importTime(from));
  }
  const most = (runs: readonly Run[]) => Math.max(...runs.map(run => run.memory)) / 1e6;
  const megabytes = `${Math.round(most(withCache))} MB for all of it, ${Math.round(most(without))} MB without`;
  console.log(
    `${'records'.padEnd(18)} ${`${count} records, ${(document.length / 1e6).toFixed(1)} MB`.padEnd(42)} ${median(imports).toFixed(2)} s, ${megabytes}`,
  );
}

/** How long the step that reads the cache took, in seconds. */
async function importTime(cacheFrom: string): Promise<number> {
  const [command = '', ...args] = outcropCommand;
  const flags = ['build', '--progress=rawjson', `--build-context=base=oci-layout://${layout}`];
  const child = spawn(command, [...args, ...flags, '--output', NO_OUTPUT, '--cache-from', cacheFrom, context], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OUTCROP_ROOT: join(work, 'root') },
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', chunk => (text += chunk));
  await new Promise(done => child.once('close', done));
  const step = text
    .split('\n')
    .filter(line => line.startsWith('{'))
    .flatMap(line => (JSON.parse(line) as { vertexes?: Record<string, string>[] }).vertexes ?? [])
    .find(({ name = '', completed }) => name.startsWith('importing cache') && completed !== undefined);
  if (step?.['started'] === undefined || step['completed'] === undefined || step['error'] !== undefined)
    throw new Error(`the cache was not imported:\n${text.slice(-2000)}`);
  return (Date.parse(step['completed']) - Date.parse(step['started'])) / 1000;
}

/** Chains of 40 steps, each with a result and a content key of its own. */
function manyRecords(count: number): Buffer {
  const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const layers: unknown[] = [];
  const records: unknown[] = [];
  const createdAt = '2026-01-02T03:04:05.106745304Z';
  for (let at = 0; records.length < count; at++) {
    const isFirst = at % 40 === 0;
    records.push({ digest: digest(`content ${at}`) });
    const annotations = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      diffID: digest(`diff ${at}`),
      size: 1,
    };
    layers.push({
      blob: digest(`layer ${at}`),
      parent: isFirst ? -1 : layers.length - 1,
      annotations: { ...annotations, createdAt },
    });
    const content = [{ link: records.length - 1 }];
    const inputs = isFirst ? [content] : [[{ link: records.length - 2 }], content];
    records.push({ layers: [{ layer: layers.length - 1, createdAt }], digest: digest(`step ${at}`), inputs });
  }
  return Buffer.from(JSON.stringify({ layers, records }));
}
