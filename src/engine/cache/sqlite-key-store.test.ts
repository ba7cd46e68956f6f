import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { openDatabase } from '../../store/database.ts';
import type { Link } from '../solver/cache.ts';
import { recordDigest } from '../solver/key.ts';
import type { KeyPart } from '../status/event.ts';
import { memoryKeyStore } from './memory-key-store.ts';
import { sqliteKeyStore } from './sqlite-key-store.ts';

const root = mkdtempSync(join(tmpdir(), 'outcrop-cache-'));
after(() => rmSync(root, { recursive: true }));

function newRoot(): string {
  return mkdtempSync(join(root, 'root-'));
}

function link(digest: string, input = 0, selector = ''): Link {
  return { digest, input, selector, output: 0 };
}

const stores = { memoryKeyStore, sqliteKeyStore: () => sqliteKeyStore(openDatabase(newRoot())) };

for (const [name, make] of Object.entries(stores)) {
  test(`${name}: links lead to their targets only in their form`, () => {
    const keys = make();
    keys.addLink('a', link('sha256:1', 0, 's'), 'b');
    keys.addLink('a', link('sha256:1', 0, 's'), 'c');
    keys.addLink('a', link('sha256:1', 0, 's'), 'c');
    assert.deepEqual([...keys.targets('a', link('sha256:1', 0, 's'))].sort(), ['b', 'c']);
    assert.deepEqual(keys.targets('a', link('sha256:1', 1, 's')), []);
    assert.deepEqual(keys.targets('a', link('sha256:1', 0)), []);
    assert.deepEqual(keys.targets('a', { ...link('sha256:1', 0, 's'), output: 1 }), []);
    assert.deepEqual(keys.targets('b', link('sha256:1', 0, 's')), []);
    assert.deepEqual(keys.backlinks('c'), [
      { from: 'a', input: 0, selector: 's', record: recordDigest('sha256:1', 0) },
    ]);
    assert(keys.has('a') && keys.has('b') && !keys.has('d'));
  });

  test(`${name}: times keep their nanoseconds`, () => {
    const keys = make();
    const createdAt = 1_790_000_000_123_456_789n;
    keys.addResult('a', { id: 'r', createdAt });
    assert.deepEqual(keys.results('a'), [{ id: 'r', createdAt }]);
    assert.deepEqual(keys.keysOf('r'), ['a']);
  });

  test(`${name}: with its last result a key goes, and what only led there`, () => {
    const keys = make();
    keys.addLink('root', link('sha256:1'), 'step');
    keys.addLink('step', link('sha256:2'), 'last');
    keys.addLink('other', link('sha256:2', 1), 'last');
    keys.addResult('other', { id: 'kept', createdAt: 1n });
    keys.addResult('last', { id: 'gone', createdAt: 1n });
    keys.addResult('step', { id: 'gone too', createdAt: 1n });
    keys.dropResult('gone too');
    assert.deepEqual(keys.targets('root', link('sha256:1')), ['step']);
    keys.dropResult('gone');
    assert.deepEqual([...keys.ids()], ['other']);
    assert.deepEqual(keys.targets('other', link('sha256:2', 1)), []);
  });

  test(`${name}: without links from a key, what only it led to is gone, and what has results stays`, () => {
    const keys = make();
    keys.addLink('step', link('sha256:2'), 'next');
    keys.addLink('next', link('sha256:3'), 'empty');
    keys.addLink('step', link('sha256:4'), 'kept');
    keys.addLink('sha256:content', link('sha256:4', 1), 'kept');
    keys.addResult('kept', { id: 'r', createdAt: 1n });
    keys.addResult('step', { id: 's', createdAt: 1n });
    keys.dropLinks('step');
    assert.deepEqual(keys.targets('step', link('sha256:2')), []);
    assert.deepEqual(keys.targets('step', link('sha256:4')), []);
    assert.deepEqual(keys.targets('sha256:content', link('sha256:4', 1)), ['kept']);
    assert.deepEqual(
      keys.backlinks('kept').map(({ from }) => from),
      ['sha256:content'],
    );
    assert.deepEqual(keys.results('step'), [{ id: 's', createdAt: 1n }]);
    assert.equal(keys.has('next'), true);
    keys.dropLinks('next');
    assert.equal(keys.has('next'), false);
    assert.equal(keys.has('empty'), false);
    keys.dropLinks('nothing');
  });

  test(`${name}: keys of sessions lead to others`, () => {
    const keys = make();
    keys.addLink('random:s', link('sha256:1'), 'step');
    keys.addLink('sha256:root', link('sha256:1', 1), 'step');
    keys.addResult('random:s', { id: 'r', createdAt: 1n });
    assert.deepEqual(keys.targets('random:s', link('sha256:1')), ['step']);
    const sources = keys.backlinks('step').map(({ from }) => from);
    assert.deepEqual(sources.sort(), ['random:s', 'sha256:root']);
    assert.deepEqual(keys.keysOf('r'), ['random:s']);
    assert.match(keys.newId(), /^[0-9a-z]{25}$/);
  });
}

test('another process sees what was saved, but no keys of sessions', () => {
  const path = newRoot();
  using first = openDatabase(path);
  using second = openDatabase(path);
  const ours = sqliteKeyStore(first);
  const theirs = sqliteKeyStore(second);
  ours.transaction(() => {
    ours.addLink('sha256:root', link('sha256:1'), 'step');
    ours.addLink('random:s', link('sha256:1'), 'step');
    ours.saveParts('sha256:1', () => [{ kind: 'env', name: 'A', value: '1' }]);
  });
  assert.deepEqual(theirs.targets('sha256:root', link('sha256:1')), ['step']);
  assert.deepEqual(theirs.targets('random:s', link('sha256:1')), []);
  assert.deepEqual(theirs.parts('sha256:1'), [{ kind: 'env', name: 'A', value: '1' }]);
  assert.equal(theirs.parts('sha256:2'), undefined);
  theirs.addLink('sha256:root', link('sha256:1'), 'step');
  assert.deepEqual([...ours.ids()].sort(), ['random:s', 'sha256:root', 'step']);
});

test('a transaction that fails leaves nothing', () => {
  using database = openDatabase(newRoot());
  const keys = sqliteKeyStore(database);
  assert.throws(
    () =>
      keys.transaction(() => {
        keys.addLink('a', link('sha256:1'), 'b');
        throw new Error('broken');
      }),
    /broken/,
  );
  assert.deepEqual([...keys.ids()], []);
});

test('parts are stored once, and large ones compressed', () => {
  using database = openDatabase(newRoot());
  const keys = sqliteKeyStore(database);
  const parts = Array.from({ length: 10_000 }, (_, index) => ({
    kind: 'file',
    name: `src/file-${index}.ts`,
    value: `sha256:${index}`,
  }));
  let read = 0;
  const reader = () => {
    read += 1;
    return parts;
  };
  keys.saveParts('sha256:1', reader);
  keys.saveParts('sha256:1', reader);
  sqliteKeyStore(database).saveParts('sha256:1', reader);
  assert.equal(read, 1);
  assert.deepEqual(sqliteKeyStore(database).parts('sha256:1'), parts);
  const size = database.sql.prepare('SELECT length(parts) AS size FROM cache_parts').get()?.['size'];
  assert(Number(size) < 150_000, `${size} bytes`);
});

test('the parts that differ are found without the common ones', () => {
  const keys = sqliteKeyStore(openDatabase(newRoot()));
  // Names that look like the borders between rows.
  const part = fc.record(
    {
      kind: fc.constant('file'),
      name: fc.string({ unit: fc.constantFrom('a', '"', '],[', '\\', 'ü') }),
      value: fc.constantFrom('1', '"],["', '],[', ''),
    },
    { noNullPrototype: true },
  );
  let number = 0;
  const save = (parts: readonly KeyPart[]) => {
    const digest = `sha256:${number++}`;
    keys.saveParts(digest, () => parts);
    return digest;
  };
  const without = (some: readonly KeyPart[], others: readonly KeyPart[]) =>
    some.filter(one => !others.some(other => isDeepStrictEqual(one, other)));
  const list = fc.array(part, { maxLength: 6 });
  fc.assert(
    fc.property(list, list, list, list, (head, a, b, tail) => {
      const [one, other] = [
        [...head, ...a, ...tail],
        [...head, ...b, ...tail],
      ];
      const found = keys.differingParts(save(one), save(other)) ?? assert.fail();
      assert.deepEqual(without(found[0], other), without(one, other));
      assert.deepEqual(without(found[1], one), without(other, one));
      if (isDeepStrictEqual(one, other)) return;
      // One more row on either side can be there where rows begin alike.
      const most = Math.max(a.length, b.length) + 2;
      assert(found[0].length <= most && found[1].length <= most, JSON.stringify(found));
    }),
    { numRuns: 300 },
  );
  assert.equal(keys.differingParts('sha256:0', 'sha256:none'), undefined);
});

test('results that are gone are dropped at once', () => {
  using database = openDatabase(newRoot());
  const keys = sqliteKeyStore(database);
  for (let index = 0; index < 10; index++) {
    keys.addLink('root', link(`sha256:${index}`), `key ${index}`);
    keys.addResult(`key ${index}`, { id: `result ${index}`, createdAt: 1n });
  }
  assert.equal(
    keys.dropMissing(id => Number(id.slice(7)) % 2 === 0),
    5,
  );
  assert.deepEqual([...keys.ids()].sort(), ['key 0', 'key 2', 'key 4', 'key 6', 'key 8', 'root']);
});

test('looking up takes no longer among 20,000 records', t => {
  using database = openDatabase(newRoot());
  const keys = sqliteKeyStore(database);
  const digest = (index: number) => recordDigest(`sha256:${index}`, 0);
  const fill = (from: number, to: number) =>
    keys.transaction(() => {
      for (let index = from; index < to; index++) {
        keys.addLink(digest(index), link(digest(index + 1)), digest(index + 1));
        keys.addResult(digest(index + 1), { id: `result ${index}`, createdAt: BigInt(index) });
      }
    });
  /** Microseconds of a look-up with its results, the best of some rounds. */
  const measure = (count: number) => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 10; round++) {
      const asked = Array.from({ length: 200 }, (_, index) => digest((index * 7919 + round) % count));
      const next = asked.map((_, index) => link(digest(((index * 7919 + round) % count) + 1)));
      const started = performance.now();
      for (const [index, id] of asked.entries()) {
        const [target] = keys.targets(id, next[index] ?? link(''));
        assert.equal(keys.results(target ?? '').length, 1);
      }
      best = Math.min(best, ((performance.now() - started) * 1000) / asked.length);
    }
    return best;
  };
  fill(0, 200);
  const few = measure(200);
  fill(200, 20_000);
  const many = measure(20_000);
  t.diagnostic(`${few.toFixed(1)} µs among 200, ${many.toFixed(1)} µs among 20,000`);
  assert(many < 150, `${many} µs`);
});
