import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import { digestOf } from '../../../wire/oci/digest.ts';
import { OCI_LAYER } from '../../../wire/oci/media-types.ts';
import { type CacheRecordNode, recordGraph } from '../../solver/record-graph.ts';
import { exportWithoutGone } from './gone-layers.ts';
import type { CacheLayer } from './port.ts';

const { signal } = new AbortController();

function layer(name: string, failure?: Error): CacheLayer {
  const digest = digestOf(name);
  return {
    digest,
    diffId: digest,
    descriptor: { mediaType: OCI_LAYER, digest, size: name.length },
    async *open() {
      if (failure !== undefined) throw failure;
      yield Buffer.from(name);
    },
  };
}

/** A base, a step on it with two layers, and a step on that with a layer of its own. */
function records(base: CacheLayer, step: CacheLayer, last: CacheLayer) {
  const graph = recordGraph<CacheLayer>();
  const first = graph.add('sha256:first', [], [{ createdAt: 1n, layers: [base] }]);
  assert.ok(first);
  const second = graph.add(
    'sha256:second',
    [[{ record: first, selector: '' }]],
    [{ createdAt: 2n, layers: [base, step] }],
  );
  assert.ok(second);
  graph.add('sha256:third', [[{ record: second, selector: '/foo' }]], [{ createdAt: 3n, layers: [last] }]);
  return graph.records();
}

/** Reads all layers, as an export does; tells the records with their inputs and the layers of their results. */
async function write(all: readonly CacheRecordNode<CacheLayer>[]) {
  for (const { results } of all)
    for (const one of results.flatMap(({ layers }) => layers)) for await (const _ of one.open(0, signal));
  return all.map(({ digest, inputs, results }) => [
    digest,
    inputs.flat().map(({ record, selector }) => `${record.digest}${selector}`),
    results.map(({ layers }) => layers.length),
  ]);
}

test('a layer that is gone costs the results that need it, and no record', async () => {
  const warnings: string[] = [];
  const missing = new Error('reading', { cause: new StatusError(Code.notFound, 'content not found') });
  const written = await exportWithoutGone(
    records(layer('base'), layer('step', missing), layer('last')),
    write,
    text => warnings.push(text),
    signal,
  );
  assert.deepEqual(written, [
    ['sha256:first', [], [1]],
    ['sha256:second', ['sha256:first'], []],
    ['sha256:third', ['sha256:second/foo'], [1]],
  ]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', new RegExp(`^layer ${digestOf('step')} cannot be had`));
});

test('a layer that cannot be reached fails the export', async () => {
  const all = records(layer('base'), layer('step', new Error('connection refused')), layer('last'));
  await assert.rejects(
    exportWithoutGone(all, write, () => assert.fail('not gone'), signal),
    /connection refused/,
  );
});
