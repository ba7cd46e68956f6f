import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BuildEvent } from '../../engine/status/event.ts';
import { batchOf } from './batch.ts';
import { createOrderedRenderer } from './ordered.ts';

const second = 1_000_000_000n;

function vertex(digest: string, position: number, started?: bigint, completed?: bigint): BuildEvent {
  return {
    kind: 'vertex',
    digest,
    name: `step ${digest}`,
    inputs: [],
    cached: false,
    position,
    ...(started === undefined ? {} : { started }),
    ...(completed === undefined ? {} : { completed }),
  };
}

function log(digest: string, text: string, timestamp: bigint): BuildEvent {
  return { kind: 'log', vertex: digest, stream: 1, data: Buffer.from(text), timestamp };
}

test('steps are printed whole and in Dockerfile order, whatever runs first', () => {
  let out = '';
  const renderer = createOrderedRenderer({ write: text => (out += text) });
  const feed = (...events: BuildEvent[]) => {
    renderer.take(batchOf(events), 0);
    renderer.print(0);
  };
  feed(vertex('b', 1), vertex('a', 0));
  feed(vertex('b', 1, second), log('b', 'from b\n', second));
  assert.equal(out, '');
  feed(vertex('a', 0, second), log('a', 'from a, unfinished', 2n * second));
  assert.equal(out, '#1 step a\n');
  feed(vertex('b', 1, second, 2n * second), log('a', ', done\n', 2n * second));
  assert.equal(out, '#1 step a\n#1 1.000 from a, unfinished, done\n');
  feed(vertex('a', 0, second, 3n * second));
  renderer.finish(0);
  assert.equal(
    out,
    '#1 step a\n#1 1.000 from a, unfinished, done\n#1 DONE 2.0s\n\n#2 step b\n#2 0.000 from b\n#2 DONE 1.0s\n',
  );
});
