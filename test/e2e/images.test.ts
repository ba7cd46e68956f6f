/** What the exporters write must be what BuildKit wrote for the same inputs, to the byte (`test/vectors/images`). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { digestOf } from '../../src/wire/oci/digest.ts';
import { outcrop } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';
import { layOut, type Tree, writeImageLayout } from '../support/trees.ts';

interface LayerCase {
  readonly mediaType: string;
  readonly diffID: string;
  readonly base?: boolean;
}

interface ImageCase {
  readonly name: string;
  readonly note: string;
  readonly dockerfile: string;
  readonly context: Tree;
  readonly other?: Tree;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly output: string;
  readonly args: readonly string[];
  readonly reproducible: boolean;
  readonly archive: readonly { readonly name: string }[];
  readonly indexJson: string;
  readonly ociLayout: string;
  readonly manifestJson?: string;
  readonly documents: Readonly<Record<string, string>>;
  readonly layers: Readonly<Record<string, LayerCase>>;
  readonly metadataFile: Readonly<Record<string, unknown>>;
}

const VECTORS = new URL('../vectors/', import.meta.url);
const BASE = fileURLToPath(new URL('base-image', VECTORS));
const cases = readdirSync(new URL('images/', VECTORS))
  .filter(name => name.endsWith('.json'))
  .sort()
  .map(name => JSON.parse(readFileSync(new URL(`images/${name}`, VECTORS), 'utf8')) as ImageCase);
const skip = hasRegistry() ? false : 'docker-registry is not installed';

/** Recorded on a root that had built on the base before: the records link from the key by which the image was found. */
const BASE_WAS_KNOWN = new Set(['12-inline-cache']);

let registry: TestRegistry;
let work: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-images-'));
  registry = await startRegistry();
});
after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

test(`images: ${cases.length} of ${cases.length} recorded images`, { skip, concurrency: 2 }, async t => {
  await Promise.all(cases.map(entry => t.test(`${entry.name}: ${entry.note}`, () => runCase(entry))));
});

async function runCase(entry: ImageCase): Promise<void> {
  const dir = join(work, entry.name);
  const context = join(dir, 'context');
  layOut(context, entry.context);
  const dockerfile = join(dir, 'Dockerfile');
  writeFileSync(dockerfile, localised(entry.dockerfile));
  const contexts = /^FROM base\b/m.test(entry.dockerfile)
    ? ['--build-context', `base=oci-layout://${BASE}:latest`]
    : [];
  if (entry.other) {
    writeImageLayout(join(dir, 'other'), entry.other);
    contexts.push('--build-context', `other=oci-layout://${join(dir, 'other')}:latest`);
  }
  if (BASE_WAS_KNOWN.has(entry.name)) {
    const priming = join(dir, 'priming');
    mkdirSync(priming);
    writeFileSync(join(priming, 'Dockerfile'), 'FROM base\nWORKDIR /primed\n');
    const primed = await outcrop(['build', ...contexts, priming], { root: join(dir, 'root') });
    assert.equal(primed.code, 0, primed.stderr);
  }
  const archive = join(dir, 'out.tar');
  const metadata = join(dir, 'metadata.json');
  const args = Object.entries(entry.buildArgs).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  const run = await outcrop(
    [
      'build',
      '--progress=plain',
      '-f',
      dockerfile,
      ...args,
      ...contexts,
      ...entry.args,
      '--output',
      `${entry.output},dest=${archive}`,
      '--metadata-file',
      metadata,
      context,
    ],
    { root: join(dir, 'root') },
  );
  assert.equal(run.code, 0, run.stderr);
  const out = join(dir, 'out');
  mkdirSync(out);
  execFileSync('tar', ['-xf', archive, '-C', out]);
  compare(entry, out, execFileSync('tar', ['-tf', archive], { encoding: 'utf8' }).trim().split('\n'));
  compareMetadata(entry, JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>);
  rmSync(dir, { recursive: true, force: true });
}

/** The recorded text with the address of the registry of this run. */
function localised(text: string): string {
  return text.replaceAll('localhost:5000', registry.address);
}

function compare(entry: ImageCase, out: string, names: readonly string[]): void {
  const read = (path: string) => readFileSync(join(out, path), 'utf8');
  assert.equal(read('oci-layout'), entry.ociLayout);
  const renamed = renamedDigests(entry, out);
  const wanted = (text: string) => [...renamed].reduce((result, [from, to]) => result.replaceAll(from, to), text);
  assert.deepEqual(layersOf(out), layersWanted(entry));
  if (!entry.reproducible) {
    compareVarying(entry, out);
    return;
  }
  for (const [digest, text] of Object.entries(entry.documents)) {
    const found = documentAt(out, wanted(digest));
    assert.equal(withoutSizes(found), withoutSizes(wanted(text)), `document ${digest}`);
  }
  assert.equal(withoutSizes(read('index.json')), withoutSizes(wanted(entry.indexJson)));
  const wantedPaths = [...renamed].reduce(
    (text, [from, to]) => text.replaceAll(from.slice(7), to.slice(7)),
    entry.manifestJson ?? '',
  );
  if (entry.manifestJson) assert.equal(read('manifest.json'), wantedPaths);
  assert.deepEqual([...names].sort(), entry.archive.map(({ name }) => wantedName(name, renamed)).sort());
  assert.deepEqual(names, [...names].sort());
}

function wantedName(name: string, renamed: ReadonlyMap<string, string>): string {
  const match = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name);
  const to = match && renamed.get(`sha256:${match[1]}`);
  return to ? `blobs/sha256/${to.slice(7)}` : name;
}

/** Digests of compressed blobs depend on the compressor, and those of manifests on them: recorded digest → ours. */
function renamedDigests(entry: ImageCase, out: string): Map<string, string> {
  const renamed = new Map<string, string>();
  const ours = blobsOf(out);
  for (const [digest, { diffID }] of Object.entries(entry.layers)) {
    const found = ours.find(blob => blob.diffID === diffID)?.digest;
    if (found && found !== digest) renamed.set(digest, found);
  }
  for (;;) {
    const before = renamed.size;
    for (const [digest, text] of Object.entries(entry.documents)) {
      if (renamed.has(digest) || (!text.includes('"layers": [') && !text.includes('"manifests": ['))) continue;
      const expected = withoutSizes([...renamed].reduce((result, [from, to]) => result.replaceAll(from, to), text));
      const found = ours.find(blob => blob.text !== undefined && withoutSizes(blob.text) === expected)?.digest;
      if (found && found !== digest) renamed.set(digest, found);
    }
    if (renamed.size === before) return renamed;
  }
}

/** Sizes of compressed blobs differ with the compressor. */
function withoutSizes(text: string): string {
  return text.replace(
    /("mediaType": ?"[^"]*(?:tar(?:\+|\.)(?:gzip|zstd)|manifest[^"]*)",\s*"digest": ?"[^"]*",\s*"size": ?)\d+/g,
    '$1N',
  );
}

interface OurBlob {
  readonly digest: string;
  readonly diffID?: string;
  readonly text?: string;
}

function blobsOf(out: string): OurBlob[] {
  return readdirSync(join(out, 'blobs/sha256')).map(hex => {
    const bytes = readFileSync(join(out, 'blobs/sha256', hex));
    if (bytes[0] === 0x7b) return { digest: `sha256:${hex}`, text: bytes.toString() };
    return { digest: `sha256:${hex}`, diffID: digestOf(decompressed(bytes)) };
  });
}

function decompressed(bytes: Buffer): Buffer {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes);
  if (bytes.readUInt32LE(0) === 0xfd2fb528) return zstdDecompressSync(bytes);
  return bytes;
}

function layersOf(out: string): string[] {
  return blobsOf(out)
    .flatMap(({ diffID }) => diffID ?? [])
    .sort();
}

function layersWanted({ layers }: ImageCase): string[] {
  return Object.values(layers)
    .map(({ diffID }) => diffID)
    .sort();
}

function documentAt(out: string, digest: string): string {
  return readFileSync(join(out, 'blobs/sha256', digest.slice('sha256:'.length)), 'utf8');
}

/** Documents with times and ids of the run in them: equal once those are taken out. */
function compareVarying(entry: ImageCase, out: string): void {
  const ours = blobsOf(out).flatMap(({ text }) => text ?? []);
  const normalised = (texts: readonly string[]) => texts.map(text => blank(localisedBack(text))).sort();
  assert.deepEqual(normalised(ours), normalised(Object.values(entry.documents)));
}

function localisedBack(text: string): string {
  return text
    .replace(
      /"data":"([A-Za-z0-9+/=]+)"/g,
      (_, data: string) => `"data":${JSON.stringify(Buffer.from(data, 'base64').toString())}`,
    )
    .replaceAll(registry.address, 'localhost:5000')
    .replaceAll(encodeURIComponent(registry.address), 'localhost%3A5000');
}

function blank(text: string): string {
  const inline = text.replace(/("moby\.buildkit\.cache\.v0":")([^"]+)"/, (_, key: string, value: string) => {
    const records = Buffer.from(value, 'base64')
      .toString()
      .replace(/"createdAt":"[^"]+"/g, '"createdAt":"T"');
    return `${key}${records}"`;
  });
  return inline
    .replace(/"(startedOn|finishedOn)":"[^"]+"/g, '"$1":"T"')
    .replace(/"invocationId":"[^"]+"/g, '"invocationId":"I"')
    .replace(/"digestMapping":\{[^}]*\}/g, '"digestMapping":{}')
    .replace(/"size": \d+/g, '"size": N')
    .replace(/sha256:[0-9a-f]{64}/g, digest => (STABLE.has(digest) ? digest : 'sha256:D'))
    .replace(/"sha256":"[0-9a-f]{64}"/g, '"sha256":"D"');
}

/** Digests that no run changes: the base image's layer. */
const STABLE = new Set(['sha256:15bd7ba145a8a54c2506f3753e84dd5c5fcc18324d1d2dedbf6abd5c1652ee7d']);

function compareMetadata(entry: ImageCase, metadata: Record<string, unknown>): void {
  assert.deepEqual(Object.keys(metadata).sort(), Object.keys(entry.metadataFile).sort());
  const provenance = (source: Readonly<Record<string, unknown>>) =>
    Object.entries(source)
      .filter(([key]) => key.startsWith('buildx.build.provenance'))
      .map(([key, value]) => [
        key,
        localisedBack(JSON.stringify(value))
          .replace(/oci-layout:\/\/[^@"]+@/g, 'oci-layout://ID@')
          .replace(/(context:other":"[^"]*@|pkg:oci\/other\?digest=)sha256:[0-9a-f]{64}/g, '$1D')
          .replace(/(pkg:oci\/other[^{]*\{"sha256":")[0-9a-f]{64}/g, '$1D'),
      ]);
  assert.deepEqual(provenance(metadata), provenance(entry.metadataFile));
  assert.equal(metadata['image.name'], entry.metadataFile['image.name']);
}
