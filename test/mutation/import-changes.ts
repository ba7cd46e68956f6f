/** Changes to what a build takes from other caches: each on two roots, one that exports and one that imports. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheRequest } from '../../src/entry/builder/request.ts';
import type { Cause } from '../../src/insight/explain/cause.ts';
import type { StepExplanation } from '../../src/insight/explain/explain-build.ts';
import { type Bench, openBench } from './bench.ts';
import { wrongOf } from './check.ts';
import type { CorpusEntry } from './corpus.ts';
import { isContent, isFile, isRecord, type Mutation } from './mutation.ts';
import type { Picker } from './state.ts';

const FILES = { 'a.txt': { text: 'a\n', mode: '0644' }, 'b.txt': { text: 'b\n', mode: '0644' } };

/** What is exported whole is imported for the stage `build`, none of whose results `mode=min` holds. */
const entries: readonly CorpusEntry[] = [
  {
    name: 'imported: two stages',
    dockerfile: `FROM base AS build
COPY a.txt /
RUN cat /a.txt > /out.txt
FROM base
COPY --from=build /out.txt /first
`,
    reads: ['a.txt'],
    files: FILES,
    target: 'build',
  },
  {
    name: 'imported: stages that meet',
    dockerfile: `FROM base AS deps
RUN echo v0 > /deps
FROM base AS build
ARG LEVEL=1
COPY a.txt b.txt /in/
RUN echo v1 $LEVEL > /build
COPY --from=deps /deps /deps
FROM base
COPY --from=build /build /build
`,
    reads: ['a.txt', 'b.txt'],
    files: FILES,
    target: 'build',
  },
];

type Kind = (
  bench: Bench,
  tools: { readonly dir: string; readonly fresh: () => string },
) => Promise<{ readonly mutation: Mutation; readonly from: readonly CacheRequest[] }>;

const cacheAt = (key: 'src' | 'dest', dir: string, mode?: string): CacheRequest[] => [
  { type: 'local', attributes: { [key]: dir, ...(mode === undefined ? {} : { mode }) } },
];
const nothing = () => Promise.resolve();

function named(what: string, isCause: Mutation['isCause']): Mutation {
  return { what, isCause, about: [], apply: () => undefined };
}

/** Exports what the exporting root builds of the whole Dockerfile. */
async function exportTo(bench: Bench, dir: string, mode: string): Promise<void> {
  bench.state.target = undefined;
  await bench.build({ root: 'exporter', cacheTo: cacheAt('dest', dir, mode) });
  bench.state.target = 'build';
}

/** Exports what has nothing in common with it. */
async function exportOther(bench: Bench, dir: string, word: string): Promise<void> {
  const { lines } = bench.state;
  bench.state.lines = ['FROM base', `RUN echo ${word} > /other`];
  await exportTo(bench, dir, 'max');
  bench.state.lines = lines;
}

const kinds: Readonly<Record<string, Kind>> = {
  'drop an import': async (_, { dir }) => {
    await nothing();
    const isNamed = isRecord('source-not-given');
    return {
      mutation: named('no import', cause => isNamed(cause) && 'detail' in cause && (cause.detail ?? '').includes(dir)),
      from: [],
    };
  },

  'import from elsewhere': async (bench, { dir, fresh }) => {
    const other = join(bench.dir, 'other');
    await exportOther(bench, other, fresh());
    const isNamed = isRecord('source-not-given');
    return {
      mutation: named(
        'another import',
        cause => isNamed(cause) && 'detail' in cause && (cause.detail ?? '').includes(dir),
      ),
      from: cacheAt('src', other),
    };
  },

  'change the mode of an export': async (bench, { dir }) => {
    await exportTo(bench, dir, 'min');
    return { mutation: named('mode=min', isRecord('key-only', mentions(dir))), from: cacheAt('src', dir) };
  },

  'replace an export': async (bench, { dir, fresh }) => {
    await exportOther(bench, dir, fresh());
    return { mutation: named('another export', isRecord('not-exported', mentions(dir))), from: cacheAt('src', dir) };
  },

  'remove an export': async (_, { dir }) => {
    await nothing();
    rmSync(dir, { recursive: true });
    return { mutation: named('no export', isRecord('unreadable-source', mentions(dir))), from: cacheAt('src', dir) };
  },

  'lose the layers of an export': async (_, { dir }) => {
    await nothing();
    // One that lost what it must have is not read at all.
    const [isUnusable, isUnread] = [isRecord('unusable', mentions(dir)), isRecord('unreadable-source', mentions(dir))];
    const isLost = (cause: Cause) => isUnusable(cause) || isUnread(cause);
    const blobs = join(dir, 'blobs/sha256');
    // Layers are gzip, manifests and configs are small.
    for (const name of readdirSync(blobs)) if (isLayer(join(blobs, name))) rmSync(join(blobs, name));
    return { mutation: named('no layers', isLost), from: cacheAt('src', dir) };
  },

  'edit a file beside an import': async (bench, { dir, fresh }) => {
    await nothing();
    bench.state.files.set('a.txt', { text: `${fresh()}\n`, mode: '0644' });
    const isPruned = isRecord('pruned');
    return {
      mutation: named('edit a.txt', cause => isFile('a.txt', isContent)(cause) || isPruned(cause)),
      from: cacheAt('src', dir),
    };
  },
};

export const importKinds: readonly string[] = Object.keys(kinds);

/** One change on a pair of roots: built with an export of all, everything removed, and built after the change. */
export async function runImportRound(
  name: string,
  pick: Picker,
  fresh: () => string,
): Promise<{ readonly failures: string[]; readonly explained: number }> {
  const entry = pick(entries);
  const kind = kinds[name];
  if (entry === undefined || kind === undefined) throw new RangeError(`no kind ${name}`);
  await using bench = await openBench(entry);
  const dir = join(bench.dir, 'cache');
  await exportTo(bench, dir, 'max');
  const failures: string[] = [];
  const before = await bench.build({ root: 'importer', cacheFrom: cacheAt('src', dir) });
  const early = before.filter(({ outcome }) => outcome !== 'cached');
  if (early.length > 0) failures.push(`${entry.name}, ${name}: ${early.map(textOf).join()} was not imported`);
  const { mutation, from } = await kind(bench, { dir, fresh });
  await bench.prune('importer');
  const steps = await bench.build({ root: 'importer', cacheFrom: from });
  const ran = steps.filter(({ outcome }) => outcome === 'ran');
  const wrong = [...wrongOf([mutation], steps, entry), ...(ran.length === 0 ? ['nothing ran'] : [])];
  if (wrong.length > 0) failures.push(`${entry.name}, ${name}:\n  ${wrong.join('\n  ')}`);
  return { failures, explained: ran.length };
}

function textOf({ record, outcome }: StepExplanation): string {
  return `${record.name} (${outcome})`;
}

function mentions(text: string): RegExp {
  return new RegExp(RegExp.escape(text));
}

function isLayer(path: string): boolean {
  return statSync(path).size > 2000;
}
