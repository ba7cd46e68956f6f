import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { knownSteps } from '../../engine/cache/known-steps.ts';
import {
  type CacheContents,
  diffCaches,
  type InspectedLayer,
  type InspectedRecord,
  inspectCache,
} from '../../engine/cache/remote/inspect.ts';
import { objectHttp } from '../../engine/cache/remote/object-http.ts';
import type { CacheBase } from '../../engine/cache/remote/port.ts';
import type { Timestamp } from '../../engine/status/event.ts';
import { loadBuildkitdConfig } from '../../host/config/buildkitd-toml.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { type MovedBase, movedBases } from '../builder/base-watch.ts';
import { openRegistries } from '../builder/registries.ts';
import type { CacheRequest } from '../builder/request.ts';
import { parseCache } from './build-flags.ts';
import { interruptSignal } from './interrupt.ts';
import { openImages } from './open-stores.ts';
import { textTable } from './table.ts';
import { formatAge, formatBytes } from './units.ts';

/** Flags of `outcrop cache inspect`. */
export interface CacheFlags {
  readonly json?: true;
}

/** What a command prints, and its exit code: 1 when what was looked for is not so. */
interface Outcome {
  readonly text: string;
  readonly exitCode: 0 | 1;
}

type StepOf = (record: string) => string | undefined;

/** Shows what a cache holds. @throws UsageError, and what reading a cache throws */
export async function runInspect(name: string, flags: CacheFlags, root?: string, now = Date.now()): Promise<Outcome> {
  const { contents, moved } = await read([name], async ([cache], signal, registry) => ({
    contents: cache,
    moved: await movedBases(cache?.about?.bases ?? [], [], registry, signal),
  }));
  if (contents === undefined) throw new Error('a cache was read');
  using steps = stepsOf(root);
  const text = flags.json ? jsonOf(contents, moved, steps.stepOf) : textOf(contents, moved, steps.stepOf, now);
  return { text, exitCode: 0 };
}

/** Reads every blob of a cache. @throws UsageError, and what reading a cache throws */
export async function runVerify(name: string): Promise<Outcome> {
  return read([name], async ([contents], signal) => {
    if (contents === undefined) throw new Error('a cache was read');
    const problems = contents.undescribed.map(digest => `${digest}: nothing says what is in it`);
    for (const layer of contents.layers) {
      const problem = await contents.verify(layer, signal);
      if (problem !== undefined) problems.push(`${layer.digest}: ${problem}`);
    }
    for (const mount of contents.mounts) {
      const problem = await contents.verify(mount, signal);
      if (problem !== undefined) problems.push(`${mount.digest} (cache mount ${mount.id}): ${problem}`);
    }
    const size = [...contents.layers, ...contents.mounts].reduce((sum, layer) => sum + layer.size, 0);
    const mounts = contents.mounts.length === 0 ? '' : ` and ${count(contents.mounts.length, 'cache mount')}`;
    const checked = `${count(contents.records.length, 'record')}, ${count(contents.layers.length, 'layer')}${mounts} of ${formatBytes(size)}`;
    if (problems.length === 0) return { text: `${contents.source}: ${checked}: every digest is right\n`, exitCode: 0 };
    const wrong = count(problems.length, 'layer');
    return {
      text: [...problems, `${contents.source}: ${checked}: ${wrong} cannot be used`].map(line => `${line}\n`).join(''),
      exitCode: 1,
    };
  });
}

/** Compares two caches. @throws UsageError, and what reading a cache throws */
export async function runDiff(first: string, second: string, root?: string): Promise<Outcome> {
  const [a, b] = await read([first, second], async caches => caches);
  if (a === undefined || b === undefined) throw new Error('two caches were read');
  using steps = stepsOf(root);
  const { onlyInFirst, onlyInSecond, resultOnlyInFirst, resultOnlyInSecond, otherResult } = diffCaches(a, b);
  const lines = [
    ...onlyInFirst.map(record => `- ${nameOf(record, steps.stepOf)}`),
    ...onlyInSecond.map(record => `+ ${nameOf(record, steps.stepOf)}`),
    ...resultOnlyInFirst.map(record => `- the result of ${nameOf(record, steps.stepOf)}`),
    ...resultOnlyInSecond.map(record => `+ the result of ${nameOf(record, steps.stepOf)}`),
    ...otherResult.map(record => `! another result of ${nameOf(record, steps.stepOf)}`),
  ];
  if (lines.length === 0) return { text: 'Both hold the same.\n', exitCode: 0 };
  return { text: [`--- ${a.source}`, `+++ ${b.source}`, ...lines].map(line => `${line}\n`).join(''), exitCode: 1 };
}

/** Reads caches by their names, side by side, and does something with them while their places can be reached. */
async function read<T>(
  names: readonly string[],
  work: (caches: readonly CacheContents[], signal: AbortSignal, registry: RegistryClient) => Promise<T>,
): Promise<T> {
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  await using registries = openRegistries(await loadBuildkitdConfig(process.env));
  await using http = objectHttp();
  const deps = { registryFor: registries.registryFor, http, env: process.env };
  const requests = names.flatMap(requestsOf);
  return work(
    await Promise.all(requests.map(request => inspectCache(request, deps, signal))),
    signal,
    registries.registry,
  );
}

/** A directory that has a cache, or may only be a directory; else what `--cache-from` takes. */
function requestsOf(name: string): CacheRequest[] {
  const isDirectory = /^\.{0,2}\//.test(name) || /^\.{1,2}$/.test(name) || existsSync(join(name, 'index.json'));
  return isDirectory ? [{ type: 'local', attributes: { src: name } }] : parseCache(name, 'cache');
}

/** The steps of builds on this machine, by what caches call them. */
function stepsOf(root?: string): { readonly stepOf: StepOf } & Disposable {
  const stores = openImages(root);
  return {
    stepOf: stores === undefined ? () => undefined : knownSteps(stores.database),
    [Symbol.dispose]: () => stores?.[Symbol.dispose](),
  };
}

function nameOf({ digest, isRoot }: InspectedRecord, stepOf: StepOf): string {
  const step = stepOf(digest);
  return step === undefined ? `${isRoot ? 'input' : 'step'} ${digest}` : `${step} (${digest})`;
}

function textOf(contents: CacheContents, moved: readonly MovedBase[], stepOf: StepOf, now: number): string {
  const { source, root, records, layers, mounts, about, undescribed } = contents;
  const steps = records.filter(({ isRoot }) => !isRoot);
  const kept = steps.filter(({ result }) => result !== undefined);
  const sizes = new Map(layers.map(({ digest, size }) => [digest, size]));
  const [newest] = kept.flatMap(({ result }) => result?.createdAt ?? []).sort((a, b) => Number(b - a));
  const facts: [string, string][] = [
    ['Cache', source],
    ['Kind', kindOf(contents)],
    ...(root === undefined ? [] : [['Digest', root.digest] as [string, string]]),
    ...(about === undefined
      ? []
      : [
          ['Exported', age(about.exportedAt, now)] as [string, string],
          ['Made by', about.builder] as [string, string],
          ...about.bases.map((base): [string, string] => ['Base image', baseText(base, moved, now)]),
        ]),
    ['Newest result', age(newest, now)],
    ['Steps', `${steps.length}, ${kept.length} with a result${droppedOf(contents, steps.length - kept.length)}`],
    ['Inputs', String(records.length - steps.length)],
    ['Layers', `${layers.length}, ${formatBytes(layers.reduce((sum, { size }) => sum + size, 0))}`],
    ...(mounts.length === 0
      ? []
      : [
          ['Mounts', `${mounts.length}, ${formatBytes(mounts.reduce((sum, { size }) => sum + size, 0))}`] as [
            string,
            string,
          ],
        ]),
    ...undescribed.map((digest): [string, string] => ['Unusable', `${digest}: nothing says what is in it`]),
  ];
  const width = Math.max(...facts.map(([title]) => title.length)) + 1;
  const head = facts.map(([title, value]) => `${`${title}:`.padEnd(width)} ${value}\n`).join('');
  const stepRows = steps.map(({ digest, result }) => [
    short(digest),
    result === undefined ? '-' : String(result.layers.length),
    result === undefined ? '-' : formatBytes(result.layers.reduce((sum, layer) => sum + (sizes.get(layer) ?? 0), 0)),
    result === undefined ? 'only the key' : age(result.createdAt, now),
    stepOf(digest) ?? '',
  ]);
  const layerRows = layers.map(layer => [
    short(layer.digest),
    formatBytes(layer.size),
    age(layer.createdAt, now),
    layer.description ?? (layer.isUsed ? '' : 'no result stands on it'),
  ]);
  const stepTable = textTable(['STEP', 'LAYERS', 'SIZE', 'MADE', 'WHAT'], stepRows);
  const layerTable = textTable(['LAYER', 'SIZE', 'MADE', 'WHAT'], layerRows);
  if (mounts.length === 0) return `${head}\n${stepTable}\n${layerTable}`;
  const mountRows = mounts.map(mount => [
    mount.id,
    formatBytes(mount.size),
    age(mount.createdAt, now),
    mount.description,
  ]);
  return `${head}\n${stepTable}\n${layerTable}\n${textTable(['CACHE MOUNT', 'SIZE', 'EXPORTED', 'WHAT'], mountRows)}`;
}

function baseText({ name, digest, resolvedAt }: CacheBase, moved: readonly MovedBase[], now: number): string {
  const current = moved.find(base => base.name === name && base.digest === digest)?.current;
  const drift = current === undefined ? '' : `; it names ${current} now`;
  return `${name.includes('@') ? name : `${name} as ${digest}`}, found ${age(resolvedAt, now)}${drift}`;
}

function kindOf({ kind, root }: CacheContents): string {
  if (kind === 'document') return 'a document of an object store';
  return `${kind === 'cache' ? 'a cache of its own' : 'inside an image'}, ${root?.mediaType ?? ''}`;
}

function droppedOf({ kind }: CacheContents, count: number): string {
  if (count === 0) return '';
  return `; of ${count} only the key: ${kind === 'inline' ? 'inline caches have only' : 'mode=min exports only'} what the image is made of`;
}

function jsonOf(contents: CacheContents, moved: readonly MovedBase[], stepOf: StepOf): string {
  const { source, kind, root, records, layers, mounts, about, undescribed } = contents;
  const text = (at: Timestamp) => new Date(Number(at / 1_000_000n)).toISOString();
  const time = (at: Timestamp | undefined) => (at === undefined ? {} : { createdAt: text(at) });
  const value = {
    source,
    kind,
    root,
    ...(about === undefined
      ? {}
      : {
          builder: about.builder,
          ...(about.exportedAt === undefined ? {} : { exportedAt: text(about.exportedAt) }),
          bases: about.bases.map(({ name, digest, resolvedAt }) => ({
            name,
            digest,
            resolvedAt: text(resolvedAt),
            current: moved.find(base => base.name === name && base.digest === digest)?.current,
          })),
        }),
    records: records.map(({ result, ...record }) => ({
      ...record,
      step: stepOf(record.digest),
      result: result && { layers: result.layers, ...time(result.createdAt) },
    })),
    layers: layers.map(({ createdAt, ...layer }: InspectedLayer) => ({ ...layer, ...time(createdAt) })),
    mounts: mounts.map(({ createdAt, ...mount }) => ({ ...mount, ...time(createdAt) })),
    undescribed,
  };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function age(time: Timestamp | undefined, now: number): string {
  return time === undefined ? 'unknown' : `${formatAge(Math.max(0, now - Number(time / 1_000_000n)))} ago`;
}

function short(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

function count(number: number, what: string): string {
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}
