/**
 * Builds every case with outcrop and with BuildKit, each with a cache of its own and with that of the other, on empty roots,
 * and compares which steps were cached. Prints a table and every difference; ends with 1 when there is one.
 *
 * `--buildkitd PATH --buildctl PATH` name BuildKit's programs, which have to be allowed to run steps; `--outcrop PATH` the main
 * file; `--only ID,…` and `--modes NAME,…` choose, `--changed NAME,…` the kinds of cache with which a
 * changed context is built too; `--jobs N` says how many cases run side by side.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { SeenStep } from '../support/cli.ts';
import { startGitServer } from '../support/git-server.ts';
import { startHttpServer } from '../support/http-server.ts';
import { startRegistry } from '../support/registry.ts';
import { buildkitBuilder, type MatrixBuild, type MatrixBuilder, outcropBuilder } from './builders.ts';
import { cases, type MatrixCase, served } from './cases.ts';

/** What was shown of the builds with a cache. */
interface Imports {
  readonly again: readonly SeenStep[];
  readonly changed: readonly SeenStep[] | undefined;
}

interface Place {
  readonly to: string;
  readonly from: string;
  readonly output?: string;
}

const modes: Readonly<Record<string, (name: string) => Place>> = {
  'registry max': name => registryPlace(name, 'max'),
  'registry min': name => registryPlace(name, 'min'),
  'local max': name => localPlace(name, 'max'),
  'local min': name => localPlace(name, 'min'),
  inline(name) {
    const ref = `${registry.address}/inline/${name}`;
    const output = `type=image,name=${ref},push=true`;
    return { to: 'type=inline', from: `type=registry,ref=${ref}`, output };
  },
};
/** The time of every file of a context. */
const fileTime = 1_600_000_000;

const { values } = parseArgs({
  options: {
    buildkitd: { type: 'string', default: 'buildkitd' },
    buildctl: { type: 'string', default: 'buildctl' },
    outcrop: { type: 'string', default: 'bin/outcrop.js' },
    only: { type: 'string' },
    modes: { type: 'string' },
    // A directory holds what a registry does.
    changed: { type: 'string', default: 'registry max,registry min,inline' },
    jobs: { type: 'string', default: '1' },
  },
});
const chosen = cases.filter(({ id }) => values.only?.split(',').includes(id) ?? true);
const chosenModes = Object.entries(modes).filter(([mode]) => values.modes?.split(',').includes(mode) ?? true);
const changedModes = new Set(values.changed.split(','));

const work = mkdtempSync(join(tmpdir(), 'outcrop-matrix-'));
const registry = await startRegistry();
const git = await startGitServer();
git.commit({ file: 'in a repository\n' });
const server = await startHttpServer((request, response) => {
  const text = served[(request.url ?? '').slice(1)];
  if (text === undefined) return void response.writeHead(404).end();
  const etag = `"${createHash('sha256').update(text).digest('hex')}"`;
  response.writeHead(200, { etag, 'last-modified': new Date(fileTime * 1000).toUTCString() }).end(text);
});

const builders: readonly [MatrixBuilder, MatrixBuilder] = [
  buildkitBuilder(values.buildkitd, values.buildctl, registry.address, work),
  outcropBuilder(resolve(values.outcrop), work),
];
const rows = new Map<string, string[]>();
const count = { builds: 0, imports: 0, steps: 0, cached: 0 };
const differences: string[] = [];
const waiting = [...chosen];
try {
  await Promise.all(
    Array.from({ length: Number(values.jobs) }, async () => {
      for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) await runCase(entry);
    }),
  );
  console.log(`| case | what | ${chosenModes.map(([mode]) => mode).join(' | ')} |`);
  console.log(`| --- | --- |${' --- |'.repeat(chosenModes.length)}`);
  for (const { id, what } of chosen) console.log(`| \`${id}\` | ${what} | ${rows.get(id)?.join(' | ')} |`);
  const { builds, imports, steps, cached } = count;
  console.log(
    `\n${chosen.length} cases, ${chosenModes.length} kinds of cache, ${builds} builds, ${imports} of them imports,`,
  );
  console.log(`${steps} steps of imports compared, ${cached} of them cached; ${differences.length} differences`);
  for (const difference of differences) console.log(difference);
  process.exitCode = differences.length === 0 ? 0 : 1;
} finally {
  await server[Symbol.asyncDispose]();
  await git[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
}

async function runCase(entry: MatrixCase): Promise<void> {
  const dir = join(work, entry.id);
  const first = prepare(entry, join(dir, 'first'));
  const target = entry.importTarget ?? entry.target;
  const aimed = target === undefined ? {} : { target };
  const again = { ...first, ...aimed };
  const changed = { ...prepareChanged(entry, join(dir, 'changed')), ...aimed };
  const cells = new Map<string, string>();
  for (const places of Object.values(Object.groupBy(chosenModes, ([mode]) => mode.split(' ').at(-1) ?? ''))) {
    const nameOf = (mode: string, exporter: MatrixBuilder) =>
      `${entry.id}-${mode}-${exporter.name}`.replaceAll(' ', '-').toLowerCase();
    for (const exporter of builders) {
      // One build writes to all places of a mode: their caches are the same.
      const given = (places ?? []).map(([mode, placeOf]) => placeOf(nameOf(mode, exporter)));
      const [output] = given.flatMap(place => place.output ?? []);
      await build(exporter, {
        ...first,
        cacheTo: given.map(({ to }) => to),
        ...(output === undefined ? {} : { output }),
      });
    }
    for (const [mode, placeOf] of places ?? []) {
      const seen = new Map<string, Imports>();
      for (const exporter of builders) {
        const { from } = placeOf(nameOf(mode, exporter));
        for (const importer of builders) {
          const imports = {
            again: await build(importer, { ...again, cacheFrom: from }),
            changed: changedModes.has(mode) ? await build(importer, { ...changed, cacheFrom: from }) : undefined,
          };
          count.imports += imports.changed ? 2 : 1;
          seen.set(`${exporter.name} to ${importer.name}`, imports);
        }
      }
      const cell = compare(entry, mode, seen);
      cells.set(mode, cell);
      console.error(`${entry.id}, ${mode}: ${cell}`);
    }
  }
  rows.set(
    entry.id,
    chosenModes.map(([mode]) => cells.get(mode) ?? ''),
  );
  rmSync(dir, { recursive: true, force: true });
}

async function build(builder: MatrixBuilder, options: MatrixBuild): Promise<readonly SeenStep[]> {
  count.builds += 1;
  const steps = await builder.build(options).catch(error => {
    differences.push(`a build failed: ${error}`);
    return [];
  });
  return steps.filter(({ name }) => /^\[.*\d+\/\d+\] /.test(name) && !/^\[.*\d+\/\d+\] FROM /.test(name));
}

/** @returns how many steps BuildKit alone had cached of how many, without and with the change. */
function compare({ id }: MatrixCase, mode: string, seen: ReadonlyMap<string, Imports>): string {
  const name = builders[0].name;
  const reference = seen.get(`${name} to ${name}`);
  let isSame = true;
  for (const [way, imports] of seen) {
    for (const kind of ['again', 'changed'] as const) {
      const [wanted, found] = [statesOf(reference?.[kind] ?? []), statesOf(imports[kind] ?? [])];
      count.steps += imports[kind]?.length ?? 0;
      count.cached += (imports[kind] ?? []).filter(({ cached }) => cached).length;
      for (const step of new Set([...wanted.keys(), ...found.keys()])) {
        const [is, shall] = [found.get(step) ?? 'absent', wanted.get(step) ?? 'absent'];
        if (is === shall) continue;
        isSame = false;
        differences.push(`${id}, ${mode}, ${kind}, ${way}: ${step} is ${is}, with ${name} alone ${shall}`);
      }
    }
  }
  const share = (steps: readonly SeenStep[]) => `${steps.filter(({ cached }) => cached).length}/${steps.length}`;
  const cell = [reference?.again, reference?.changed].flatMap(steps => (steps ? share(steps) : [])).join(', ');
  return isSame ? cell : `**${cell}**`;
}

/** What became of the steps of a name: a source may be called as the step that it is for. */
function statesOf(steps: readonly SeenStep[]): Map<string, string> {
  const states = new Map<string, string[]>();
  for (const { name, cached, done } of steps)
    states.set(name, [...(states.get(name) ?? []), cached ? 'cached' : done ? 'run' : 'not ended']);
  return new Map([...states].map(([name, all]) => [name, all.sort().join(' and ')]));
}

function prepareChanged(entry: MatrixCase, dir: string): MatrixBuild {
  const { change, files = {}, dockerfile } = entry;
  if ('files' in change) return prepare({ ...entry, files: { ...files, ...change.files } }, dir);
  if (!dockerfile.includes(change.text)) throw new Error(`${entry.id} has no text ${change.text}`);
  return prepare({ ...entry, dockerfile: dockerfile.replace(change.text, change.to) }, dir);
}

function prepare(entry: MatrixCase, dir: string): MatrixBuild {
  const context = join(dir, 'context');
  const checksum = createHash('sha256')
    .update(served['tool.txt'] ?? '')
    .digest('hex');
  const dockerfile = entry.dockerfile
    .replaceAll('{{base}}', `${registry.address}/library/busybox:latest`)
    .replaceAll('{{other}}', `${registry.address}/library/busybox:layer`)
    .replaceAll('{{http}}', server.url)
    .replaceAll('{{checksum}}', `sha256:${checksum}`)
    .replaceAll('{{git}}', git.url);
  putFiles(context, { Dockerfile: dockerfile, ...entry.files });
  if (entry.lib) putFiles(join(dir, 'lib'), entry.lib);
  const secrets = Object.fromEntries(Object.keys(entry.secrets ?? {}).map(id => [id, join(dir, `secret-${id}`)]));
  for (const [id, file] of Object.entries(secrets)) writeFileSync(file, entry.secrets?.[id] ?? '');
  return {
    context,
    contexts: entry.lib ? { lib: join(dir, 'lib') } : {},
    buildArgs: entry.buildArgs ?? {},
    secrets,
    ...(entry.target === undefined ? {} : { target: entry.target }),
    ...(entry.platforms === undefined ? {} : { platforms: entry.platforms }),
  };
}

function putFiles(dir: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    const file = join(dir, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, path.endsWith('.tar') ? packed(text) : text);
    utimesSync(file, fileTime, fileTime);
  }
}

/** An archive with one file, `inside`. */
function packed(text: string): Buffer {
  const dir = mkdtempSync(join(work, 'tar-'));
  writeFileSync(join(dir, 'inside'), text);
  const flags = [`--mtime=@${fileTime}`, '--owner=0', '--group=0', '--mode=0644'];
  return execFileSync('tar', ['-c', ...flags, '-C', dir, 'inside']);
}

function registryPlace(name: string, mode: string): Place {
  const ref = `${registry.address}/cache/${name}`;
  return { to: `type=registry,ref=${ref},mode=${mode}`, from: `type=registry,ref=${ref}` };
}

function localPlace(name: string, mode: string): Place {
  const dir = join(work, 'caches', name);
  return { to: `type=local,dest=${dir},mode=${mode}`, from: `type=local,src=${dir}` };
}
