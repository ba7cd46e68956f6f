import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { choosePruned, describePolicy, type PrunePolicy } from './prune-policy.ts';
import type { UsageRecord } from './usage.ts';
import { parseUsageFilter, UsageFilterError } from './usage-filter.ts';

const HOUR = 3_600_000;
const NOW = 1000 * HOUR;

function record(id: string, given: Partial<UsageRecord> = {}): UsageRecord {
  return {
    id,
    type: 'regular',
    description: `RUN ${id}`,
    size: 10,
    createdAt: 0,
    lastUsedAt: NOW,
    mutable: false,
    shared: false,
    parents: [],
    ...given,
  };
}

const base = record('base', { lastUsedAt: NOW - 2 * HOUR });
const old = record('old', { parents: ['base'], lastUsedAt: NOW - 50 * HOUR });
const middle = record('middle', { parents: ['base'], lastUsedAt: NOW - 20 * HOUR });
const image = record('image', { parents: ['base'], shared: true, lastUsedAt: NOW - 60 * HOUR });
const mount = record('mount', { type: 'exec.cachemount', mutable: true, lastUsedAt: NOW - 3 * HOUR, size: 100 });
const all = [base, old, middle, mount];

function chosen(records: readonly UsageRecord[], policy: Partial<PrunePolicy>, free = 0): string[] {
  return choosePruned(records, { all: false, ...policy }, { now: NOW, free }).map(({ id }) => id);
}

test('without limits everything goes, what stands on others first', () => {
  assert.deepEqual(chosen(all, {}), ['old', 'middle', 'mount', 'base']);
});

test('what named images consist of, and all that it stands on, stays unless all is meant', () => {
  assert.deepEqual(chosen([...all, image], {}), ['old', 'middle', 'mount']);
  assert.deepEqual(chosen([...all, image], { all: true }), ['image', 'old', 'middle', 'mount', 'base']);
});

test('by age', () => {
  assert.deepEqual(chosen(all, { unusedFor: 24 * HOUR }), ['old']);
  assert.deepEqual(chosen(all, { unusedFor: HOUR }), ['old', 'middle', 'mount', 'base']);
});

test('by size', () => {
  assert.deepEqual(chosen(all, { maxUsedSpace: 120 }), ['old']);
  assert.deepEqual(chosen(all, { maxUsedSpace: 1000 }), []);
  assert.deepEqual(chosen(all, { reservedSpace: 110 }), ['old', 'middle']);
  assert.deepEqual(chosen(all, { maxUsedSpace: 5, reservedSpace: 115 }), ['old', 'middle']);
});

test('by free space', () => {
  assert.deepEqual(chosen(all, { minFreeSpace: 50 }, 60), []);
  assert.deepEqual(chosen(all, { minFreeSpace: 50 }, 45), ['old']);
  assert.deepEqual(chosen(all, { minFreeSpace: 500, reservedSpace: 100 }, 0), ['old', 'middle', 'mount']);
});

test('by filter; what is stood on stays', () => {
  assert.deepEqual(chosen(all, { filter: parseUsageFilter('id=base') }), []);
  assert.deepEqual(chosen(all, { filter: parseUsageFilter('type=exec.cachemount') }), ['mount']);
  assert.deepEqual(chosen(all, { filter: parseUsageFilter('id=dl') }), ['middle']);
});

test('whatever is asked for, nothing that stays stands on what goes', () => {
  const arbitrary = fc
    .array(fc.record({ size: fc.nat(50), lastUsedAt: fc.nat(NOW), shared: fc.boolean(), below: fc.nat() }), {
      maxLength: 20,
    })
    .map(list =>
      list.map(({ below, ...rest }, index) =>
        record(String(index), { ...rest, parents: index === 0 ? [] : [String(below % index)] }),
      ),
    );
  fc.assert(
    fc.property(arbitrary, fc.boolean(), fc.option(fc.nat(300), { nil: undefined }), (records, all, limit) => {
      const gone = chosen(records, { all, ...(limit === undefined ? {} : { maxUsedSpace: limit }) });
      const order = new Map(gone.map((id, place) => [id, place]));
      for (const { id, parents } of records) {
        for (const parent of parents) {
          const place = order.get(parent);
          if (place !== undefined) assert.ok((order.get(id) ?? Number.POSITIVE_INFINITY) < place);
        }
      }
      const size = (list: readonly UsageRecord[]) => list.reduce((sum, one) => sum + one.size, 0);
      const rest = records.filter(one => !order.has(one.id));
      if (all) assert.ok(size(rest) <= (limit ?? 0) || rest.length === 0);
      if (!all) assert.ok(rest.filter(one => one.shared).length === records.filter(one => one.shared).length);
    }),
  );
});

test('filters', () => {
  const matches = (filter: string, one: UsageRecord) => parseUsageFilter(filter)(one);
  assert.equal(matches('', mount), true);
  assert.equal(matches('mutable', mount), true);
  assert.equal(matches('mutable=true', base), false);
  assert.equal(matches('mutable==false', base), true);
  assert.equal(matches('immutable,private', base), true);
  assert.equal(matches('shared', image), true);
  assert.equal(matches('inuse', mount), false);
  assert.equal(matches('type!=regular', mount), true);
  assert.equal(matches('description~=^RUN (base|old)$', old), true);
  assert.equal(matches('description==RUN base', old), false);
  assert.equal(matches('parents=base', old), true);
  assert.equal(matches('id=a.e', base), false);
  assert.throws(() => parseUsageFilter('colour=red'), UsageFilterError);
  assert.throws(() => parseUsageFilter('id~=('), UsageFilterError);
});

test('rules in words', () => {
  assert.equal(describePolicy({ all: false }), 'prune');
  assert.equal(describePolicy({ all: true, isAutomatic: true }), 'garbage collection');
  assert.equal(
    describePolicy({ all: true, unusedFor: 24 * HOUR, maxUsedSpace: 10_000_000_000 }),
    'prune --all, unused for 24 h, keep at most 10 GB',
  );
});
