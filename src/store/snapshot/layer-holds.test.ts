import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layerHolds } from './layer-holds.ts';

test('a layer is held by those who worked when it was last noted, until the last of them has ended', () => {
  const holds = layerHolds();
  holds.note(['before']);
  const first = holds.hold();
  assert.equal(holds.isHeld('before'), false);
  holds.note(['one']);
  const second = holds.hold();
  holds.note(['both']);
  first[Symbol.dispose]();
  assert.deepEqual(
    ['one', 'both'].map(id => holds.isHeld(id)),
    [false, true],
  );
  second[Symbol.dispose]();
  assert.equal(holds.isHeld('both'), false);
  using _third = holds.hold();
  assert.equal(holds.isHeld('both'), false);
});

test('who began first may end last', () => {
  const holds = layerHolds();
  using _first = holds.hold();
  const second = holds.hold();
  holds.note(['layer']);
  second[Symbol.dispose]();
  assert.ok(holds.isHeld('layer'));
});
