import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { type Database, openDatabase } from '../../store/database.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { cacheProbe } from './cache-probe.ts';
import { blankConfig } from './container-config.ts';
import { childImage, type LegacyImage, readContent } from './image.ts';
import { type ImageTable, openImageTable } from './image-table.ts';
import { configDigest, withComment, withRunCommand } from './key.ts';

let root: string;
let database: Database;
let table: ImageTable;
let clock = 0n;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'outcrop-legacy-'));
});
after(() => {
  database[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  database?.[Symbol.dispose]();
  database = openDatabase(mkdtempSync(join(root, 'db-')));
  table = openImageTable(database);
});

const run = (command: string) => withRunCommand(blankConfig, ['/bin/sh', '-c', command], new Map(), () => true);
const env = (text: string) => withComment(blankConfig, text);

/** Makes and keeps the image of a step, with a layer for RUN. */
function step(parent: LegacyImage | undefined, wanted: ReturnType<typeof run>, layer?: string): LegacyImage {
  clock += 1_500_000_000n;
  const image = childImage(parent, {
    config: blankConfig,
    containerConfig: wanted,
    author: '',
    container: '',
    layer: layer === undefined ? undefined : { id: layer, diffID: digestOf(layer) },
    created: clock,
    platform: { os: 'linux', architecture: 'amd64' },
  });
  table.put(image, { parent: parent?.id, key: configDigest(wanted) });
  return image;
}

const options = () => ({ table, isReachable: () => true, isOff: false, sources: undefined });

test('of equal steps the youngest counts, if its layers can be had', () => {
  const [old, young] = [step(undefined, run('a'), 'l1'), step(undefined, run('a'), 'l2')];
  assert.equal(cacheProbe(options()).probe(undefined, run('a'), blankConfig)?.id, young.id);
  const probe = cacheProbe({ ...options(), isReachable: layer => layer !== 'l2' });
  assert.equal(probe.probe(undefined, run('a'), blankConfig)?.id, old.id);
  assert.equal(cacheProbe(options()).probe(old, run('a'), blankConfig), undefined);
});

test('after a miss nothing is looked for until the next stage', () => {
  const image = step(undefined, run('a'), 'l1');
  const probe = cacheProbe(options());
  assert.equal(probe.probe(undefined, run('b'), blankConfig), undefined);
  assert.equal(probe.probe(undefined, run('a'), blankConfig), undefined);
  probe.reset();
  assert.equal(probe.probe(undefined, run('a'), blankConfig)?.id, image.id);
  assert.equal(cacheProbe({ ...options(), isOff: true }).probe(undefined, run('a'), blankConfig), undefined);
});

test('images to take the cache from: their ancestors, or what their history tells', () => {
  const a = step(undefined, env('A'));
  const b = step(a, run('b'), 'l1');
  const c = step(b, run('c'), 'l2');
  const from = (...sources: LegacyImage[]) => cacheProbe({ ...options(), sources });
  assert.equal(from(c).probe(undefined, env('A'), blankConfig)?.id, a.id);
  assert.equal(from(c).probe(b, run('c'), blankConfig)?.id, c.id, 'the image itself');
  assert.equal(from().probe(undefined, env('A'), blankConfig), undefined, 'nothing else is a cache');
  assert.equal(from(a).probe(a, run('b'), blankConfig), undefined);

  table.forget(() => false);
  openImageTable(database).put(c, { parent: undefined, key: undefined });
  const loaded = from(c);
  const restoredA = table.get(a.id) ?? loaded.probe(undefined, env('A'), blankConfig);
  const restoredB = loaded.probe(restoredA, run('b'), blankConfig);
  assert(restoredB);
  assert.deepEqual(restoredB.layers, ['l1']);
  const made = readContent(restoredB);
  assert.deepEqual(made.history, readContent(c).history.slice(0, 2));
  assert.equal(made.containerConfig, undefined);
  assert.equal(loaded.probe(restoredB, run('c'), blankConfig)?.id, c.id);
  assert.equal(table.parentOf(c.id), restoredB.id);
  assert.equal(from(c).probe(restoredA, run('b'), blankConfig)?.id, restoredB.id, 'the same each time');
});

test('once a history was followed, only that one is', () => {
  const a = step(undefined, run('a'), 'l1');
  const ab = step(a, run('b'), 'l2');
  const abc = step(ab, run('c'), 'l3');
  const other = step(undefined, run('a'), 'm1');
  const otherX = step(other, run('x'), 'm2');
  const otherXY = step(otherX, run('y'), 'm3');
  const images = [abc, otherXY];
  table.forget(() => false);
  for (const image of images) table.put(image, { parent: undefined, key: undefined });
  const probe = cacheProbe({ ...options(), sources: images });
  const first = probe.probe(undefined, run('a'), blankConfig);
  assert.deepEqual(first?.layers, ['l1']);
  assert.equal(probe.probe(first, run('x'), blankConfig), undefined);
});

test('the chain of an image, and ids by their beginning', () => {
  const a = step(undefined, env('A'));
  const b = step(a, env('B'));
  assert.deepEqual(
    table.chain(b.id).map(({ id }) => id),
    [b.id, a.id],
  );
  assert.equal(table.findByPrefix(b.id.slice(7, 19))?.id, b.id);
  assert.equal(table.findByPrefix('0000'), undefined);
  table.setParent(a.id, b.id);
  assert.equal(table.chain(b.id).length, 2, 'even a circle ends');
  const missing: Digest = digestOf('none');
  assert.deepEqual(table.chain(missing), []);
});
