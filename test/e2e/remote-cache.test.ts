/** Caches that travel both ways: ours must be what BuildKit would have written, and BuildKit's must hit (`test/vectors/remote-cache`). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { outcrop, stepsOf } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

interface Step {
  readonly name: string;
  readonly cached: boolean;
  readonly done: boolean;
}

interface Run {
  readonly cacheTo: string;
  readonly cacheFrom: string;
  readonly output?: string;
  readonly blobsLeftOut: readonly string[];
  readonly exportSteps: readonly Step[];
  readonly importSteps: readonly Step[];
}

interface Case {
  readonly id: string;
  readonly title: string;
  readonly files: Readonly<Record<string, { readonly mode: string; readonly mtime: number }>>;
  readonly options: { readonly secrets?: Readonly<Record<string, string>> };
  readonly builtBefore?: readonly { readonly files: Readonly<Record<string, string>> }[];
  readonly baseTag?: Readonly<Record<string, string>>;
  readonly runs: Readonly<Record<string, Run>>;
  readonly changed?: readonly {
    readonly title: string;
    readonly files: Readonly<Record<string, string>>;
    readonly mtime: number;
    readonly steps: Readonly<Record<string, readonly Step[]>>;
  }[];
}

interface ConfigRecord {
  readonly digest: string;
  readonly layers?: readonly unknown[];
  readonly chains?: readonly unknown[];
  readonly inputs?: readonly (readonly { readonly link: number; readonly selector?: string }[])[];
}

const vectors = fileURLToPath(new URL('../vectors/remote-cache/', import.meta.url));
const bases = fileURLToPath(new URL('../vectors/base-image/blobs/sha256/', import.meta.url));
const cases = readdirSync(vectors).flatMap((id): Case[] => {
  const file = join(vectors, id, 'case.json');
  return existsSync(file) ? [JSON.parse(readFileSync(file, 'utf8'))] : [];
});
/** Cases whose records differ on purpose: only what this build can use is exported, and under both keys of its base. */
const ownRecords = new Set(['builder-variants', 'two-bases']);
/** Which of two steps with equal content runs is a matter of chance. */
const chance = new Set(['merged-by-content']);
/** This step mounts its context, where the Dockerfile names the registry: its key was made of another registry's address. */
const addressed = /cat \/ctx\/src\/x/;
const addressedRecords: ReadonlySet<string> = new Set([
  'sha256:07d744069c1bbf7bb921c4a41fc14d46131437769a391ef4234de7c2eefdf5e9',
  'sha256:8808e8e10564ae17f2c4436ea788c083de44a3adebdf93194509db167f413ed5',
]);

const skip = hasRegistry() ? false : 'docker-registry is not installed';
let registry: TestRegistry;
let work: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-remote-'));
  registry = await startRegistry();
});
after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

test(`${cases.length} of ${cases.length} builds: what BuildKit exported hits, what is exported is what BuildKit exports`, {
  skip,
  concurrency: 2,
}, async t => {
  await Promise.all(
    cases.flatMap(entry =>
      Object.entries(entry.runs).map(([mode, run]) =>
        t.test(`${entry.id} ${mode}: ${entry.title}`, () => runCase(entry, mode, run)),
      ),
    ),
  );
});

async function runCase(entry: Case, mode: string, run: Run): Promise<void> {
  const dir = join(work, `${entry.id}-${mode}`);
  const context = join(dir, 'context');
  const recorded = join(dir, 'recorded');
  const own = join(dir, 'own');
  const scope = `${entry.id}-${mode}`;
  const fill = (text: string, cache = own) =>
    text
      .replaceAll('{{registry}}/app/', `${registry.address}/${scope}/app/`)
      .replaceAll('{{registry}}/vec/', `${registry.address}/${scope}/${cache === own ? 'own' : 'recorded'}/`)
      .replaceAll('{{registry}}', registry.address)
      .replaceAll('{{dir}}', cache);
  const isInline = mode === 'inline';

  const putContext = (changes: Readonly<Record<string, string>>, mtime?: number) => {
    rmSync(context, { recursive: true, force: true });
    for (const [path, file] of Object.entries(entry.files)) {
      const target = join(context, path);
      mkdirSync(dirname(target), { recursive: true });
      const text = changes[path] ?? readFileSync(join(vectors, entry.id, 'context', path), 'utf8');
      writeFileSync(target, fill(text));
      chmodSync(target, Number.parseInt(file.mode, 8));
      const time = changes[path] === undefined ? file.mtime : (mtime ?? file.mtime);
      utimesSync(target, time, time);
    }
  };
  const build = async (root: string, args: readonly string[]) => {
    for (const [id, value] of Object.entries(entry.options.secrets ?? {})) writeFileSync(join(dir, id), value);
    const secrets = Object.keys(entry.options.secrets ?? {}).flatMap(id => [
      '--secret',
      `id=${id},src=${join(dir, id)}`,
    ]);
    const { code, stderr } = await outcrop(
      ['build', '--progress=rawjson', '--provenance=false', ...secrets, ...args, context],
      { root },
    );
    assert.equal(code, 0, stderr);
    return stepsOf(stderr);
  };
  const compare = (what: string, seen: readonly Step[], wanted: readonly Step[]) => {
    const plain = (steps: readonly Step[]) =>
      steps
        .filter(step => !/^\[(?:.* )?\d+\/\d+\] FROM /.test(step.name) && !addressed.test(step.name))
        .map(({ name, cached, done }) => ({ name: fill(name), cached, done }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    const internal = /^\[internal\]|^\[auth\]|^exporting|^importing/;
    assert.deepEqual(plain(seen.filter(step => !internal.test(step.name))), plain(wanted), what);
  };
  const freshRoot = () => mkdtempSync(join(dir, 'root-'));
  mkdirSync(dir, { recursive: true });

  // Ours is exported…
  const root = freshRoot();
  if (entry.baseTag) await registry.tag(`${scope}/app/base:latest`, entry.baseTag['before'] ?? '');
  for (const { files } of entry.builtBefore ?? []) {
    putContext(files);
    await build(root, []);
  }
  if (entry.baseTag) await registry.tag(`${scope}/app/base:latest`, entry.baseTag['at export and import'] ?? '');
  putContext({});
  const output = run.output === undefined ? [] : ['--output', fill(run.output)];
  const exported = await build(root, ['--cache-to', fill(run.cacheTo), ...output]);
  if (!entry.builtBefore && !chance.has(entry.id)) compare('export', exported, run.exportSteps);
  if (!ownRecords.has(entry.id)) {
    const theirs = isInline
      ? inlineRecords(join(vectors, entry.id, 'layout'))
      : directoryRecords(join(vectors, entry.id, mode));
    const ours = isInline ? await registryRecords(fill('{{registry}}/vec/'), entry.id) : directoryRecords(own);
    assert.equal(ours.length, theirs.length, 'records');
    const known = new Set(theirs.map(({ digest }) => digest));
    const same = (texts: string[]) =>
      texts.filter(text => !addressedRecords.has(text.slice(0, 71)) && known.has(text.slice(0, 71)));
    assert.deepEqual(same(graphOf(ours)), same(graphOf(theirs)), 'records');
    if (entry.id !== 'run-mounts') assert.deepEqual(graphOf(ours), graphOf(theirs), 'records');
  }
  // …and hits; where the records are the same, once is enough.
  if (mode !== 'min' || ownRecords.has(entry.id))
    compare('import of ours', await build(freshRoot(), ['--cache-from', fill(run.cacheFrom)]), run.importSteps);

  // What BuildKit exported hits, too.
  cpSync(join(vectors, entry.id, isInline ? 'layout' : mode), recorded, { recursive: true });
  for (const blob of run.blobsLeftOut) {
    copyFileSync(join(bases, blob.slice(7)), join(recorded, 'blobs/sha256', blob.slice(7)));
  }
  if (isInline) await pushLayout(recorded, `${scope}/recorded/${entry.id}`);
  const from = ['--cache-from', fill(run.cacheFrom, recorded)];
  compare('import', await build(freshRoot(), from), run.importSteps);
  for (const { title, files, mtime, steps } of entry.changed ?? []) {
    // What the smaller cache is enough for needs no second look.
    if (mode === 'max' && isDeepStrictEqual(steps['min'], steps['max'])) continue;
    putContext(files, mtime);
    compare(`import, ${title}`, await build(freshRoot(), from), steps[mode] ?? []);
  }
  // With files wanted, all layers are fetched.
  putContext({});
  await build(freshRoot(), [...from, '--output', `type=local,dest=${join(dir, 'out')}`]);
  assert(readdirSync(join(dir, 'out')).length > 0);
  rmSync(dir, { recursive: true, force: true });
}

test('a cache with a damaged or a missing layer: the build runs the steps instead', { skip }, async t => {
  const context = join(work, 'faults');
  mkdirSync(context, { recursive: true });
  writeFileSync(
    join(context, 'Dockerfile'),
    `FROM ${registry.address}/library/busybox:latest\nRUN echo 1 > /one\nRUN cat /one > /two\n`,
  );
  const build = async (root: string, args: readonly string[]) => {
    const { code, stderr } = await outcrop(['build', '--progress=plain', ...args, context], { root });
    assert.equal(code, 0, stderr);
    return stderr;
  };
  const freshRoot = () => mkdtempSync(join(context, 'root-'));
  const out = join(context, 'out');
  const read = (digest: string) => JSON.parse(readFileSync(join(cache, 'blobs/sha256', digest.slice(7)), 'utf8'));
  const cache = join(context, 'cache');
  const ref = `${registry.address}/faults/cache:latest`;
  await build(freshRoot(), [
    '--cache-to',
    `type=local,dest=${cache},mode=max`,
    '--cache-to',
    `type=registry,ref=${ref},mode=max`,
  ]);
  const manifest = read(JSON.parse(readFileSync(join(cache, 'index.json'), 'utf8')).manifests[0].digest);
  const layer = manifest.layers.find(({ size }: { size: number }) => size < 1000).digest;

  await t.test('damaged, in a directory', async () => {
    const path = join(cache, 'blobs/sha256', layer.slice(7));
    const bytes = readFileSync(path);
    rmSync(path);
    writeFileSync(path, bytes.fill(0, bytes.length - 8));
    const text = await build(freshRoot(), [
      '--cache-from',
      `type=local,src=${cache}`,
      '--output',
      `type=local,dest=${out}`,
    ]);
    assert.match(text, /cannot be had: it is damaged/);
    assert.equal(readFileSync(join(out, 'two'), 'utf8'), '1\n');
  });

  await t.test('missing, in a registry', async () => {
    rmSync(out, { recursive: true, force: true });
    const gone = await fetch(`http://${registry.address}/v2/faults/cache/blobs/${layer}`, { method: 'DELETE' });
    assert.equal(gone.status, 202);
    const root = freshRoot();
    const args = ['--cache-from', `type=registry,ref=${ref}`, '--output', `type=local,dest=${out}`];
    assert.match(await build(root, args), /cannot be had: not found/);
    assert.equal(readFileSync(join(out, 'two'), 'utf8'), '1\n');
  });
});

/** Each record with all below it as one digest, and whether it has a result; sorted. */
function graphOf(records: readonly ConfigRecord[]): string[] {
  const texts = new Map<number, string>();
  const textOf = (index: number): string => {
    const known = texts.get(index);
    if (known !== undefined) return known;
    const { digest, inputs = [] } = records[index] ?? assert.fail();
    const below = inputs.map(alternatives =>
      alternatives.map(({ link, selector = '' }) => `${selector} ${textOf(link)}`).sort(),
    );
    const text = createHash('sha256')
      .update(JSON.stringify([digest, below]))
      .digest('hex');
    texts.set(index, text);
    return text;
  };
  return records
    .map(
      (record, index) =>
        `${record.digest} ${textOf(index)} ${record.layers || record.chains ? 'with' : 'without'} result`,
    )
    .sort();
}

function directoryRecords(directory: string): readonly ConfigRecord[] {
  const read = (digest: string) => JSON.parse(readFileSync(join(directory, 'blobs/sha256', digest.slice(7)), 'utf8'));
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const manifest = read(index.manifests[0].digest);
  const config = manifest.config ?? manifest.manifests.at(-1);
  return read(config.digest).records;
}

function inlineRecords(directory: string): readonly ConfigRecord[] {
  const read = (digest: string) => JSON.parse(readFileSync(join(directory, 'blobs/sha256', digest.slice(7)), 'utf8'));
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const config = read(read(index.manifests[0].digest).config.digest);
  return JSON.parse(Buffer.from(config['moby.buildkit.cache.v0'], 'base64').toString());
}

async function registryRecords(prefix: string, name: string): Promise<readonly ConfigRecord[]> {
  const [host, ...path] = prefix.split('/');
  const get = async (what: string) =>
    (
      await fetch(`http://${host}/v2/${path.join('/')}${name}/${what}`, {
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
      })
    ).json();
  const manifest = (await get('manifests/latest')) as { config: { digest: string } };
  const config = (await get(`blobs/${manifest.config.digest}`)) as Record<string, string>;
  return JSON.parse(Buffer.from(config['moby.buildkit.cache.v0'] ?? '', 'base64').toString());
}

async function pushLayout(directory: string, repository: string): Promise<void> {
  const url = `http://${registry.address}/v2/${repository}`;
  const blob = (digest: string) => readFileSync(join(directory, 'blobs/sha256', digest.slice(7)));
  const { manifests } = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const [{ digest, mediaType }] = manifests;
  const manifest = JSON.parse(blob(digest).toString());
  for (const part of [manifest.config, ...manifest.layers]) {
    const started = await fetch(`${url}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(started.headers.get('location') ?? '', url);
    location.searchParams.set('digest', part.digest);
    const headers = { 'content-type': 'application/octet-stream' };
    assert.equal((await fetch(location, { method: 'PUT', body: blob(part.digest), headers })).status, 201);
  }
  const headers = { 'content-type': mediaType };
  const put = await fetch(`${url}/manifests/latest`, { method: 'PUT', body: blob(digest), headers });
  assert.equal(put.status, 201);
}
