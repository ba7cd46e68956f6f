import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../wire/oci/digest.ts';
import { snapshotRef } from '../../ops/ref.ts';
import { recordGraph } from '../../solver/record-graph.ts';
import { cacheConfig } from '../cache-config.ts';
import { importedCache } from '../imported-cache.ts';
import { readRecords } from '../read-records.ts';
import { parseCacheConfig } from './parse-config.ts';

/** Chains of steps, each with a content key of its own: `count` records. */
function largeConfig(count: number, chain: number, withResults = true): string {
  const layers: unknown[] = [];
  const records: unknown[] = [];
  const digest = (text: string) => digestOf(text);
  for (let at = 0; at < count / 2; at++) {
    const isFirst = at % chain === 0;
    records.push({ digest: digest(`content ${at}`) });
    const content = { link: records.length - 1 };
    layers.push({ blob: digest(`layer ${at}`), parent: isFirst ? -1 : layers.length - 1 });
    const inputs = isFirst ? [[content]] : [[{ link: records.length - 2 }], [content]];
    records.push({
      ...(withResults ? { layers: [{ layer: layers.length - 1, createdAt: '2026-11-24T03:42:52.106745304Z' }] } : {}),
      digest: digest(`step ${at}`),
      inputs,
    });
  }
  return JSON.stringify({ layers, records });
}

function importConfig(text: string) {
  const graph = recordGraph<{ digest: string }>();
  const config = parseCacheConfig(text);
  const layers = new Map(config.layers?.map(({ blob }) => [blob, { digest: blob }]));
  readRecords(graph, config, digest => layers.get(digest));
  return importedCache({ id: 'large', records: graph.records(), result: async () => snapshotRef([]) });
}

test('10,000 records are imported in less than a second and 200 MB', t => {
  const text = largeConfig(10_000, 40);
  importConfig(largeConfig(1000, 40));
  const memory = process.memoryUsage().rss;
  const start = process.cpuUsage();
  const cache = importConfig(text);
  const used = process.cpuUsage(start);
  // Time of the processor: other tests run beside this one.
  const time = (used.user + used.system) / 1000;
  const grown = (process.memoryUsage().rss - memory) / 2 ** 20;
  assert(cache.keys.has(digestOf('content 4999')));
  t.diagnostic(`${Math.round(time)} ms, ${Math.round(grown)} MiB`);
  assert(time < 1000);
  assert(grown < 200);
});

test('a look-up does not take longer in a cache of 10,000 records than in one of 100', t => {
  const time = (count: number) => {
    const cache = importConfig(largeConfig(count, 40));
    const link = { input: 0, output: 0, digest: digestOf('nothing'), selector: '' };
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 20; round++) {
      const start = performance.now();
      for (let at = 0; at < 1000; at++) cache.keys.targets(digestOf('content 0'), link);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  const [small, large] = [time(100), time(10_000)];
  t.diagnostic(`1000 look-ups: ${small.toFixed(1)} ms in 100 records, ${large.toFixed(1)} ms in 10,000`);
  assert(large < 3 * small + 1);
});

test('one chain of 5,000 steps is read and written without deep recursion', () => {
  const graph = recordGraph<{ digest: string }>();
  readRecords(graph, parseCacheConfig(largeConfig(10_000, 5000, false)), digest => ({ digest }));
  assert.equal(cacheConfig(graph.records()).records?.length, 10_000);
});
