import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyPart } from '../../engine/status/event.ts';
import type { StepRecord } from '../history/build-record.ts';
import { keyTable } from './report-keys.ts';

const file = (name: string, value: string): KeyPart => ({ kind: 'file', name, value });

function step(first: string, second: string): StepRecord {
  return {
    digest: '',
    name: '',
    inputs: [1, 2],
    places: [],
    definitions: ['def'],
    keys: [{ content: first }, { content: second }],
  };
}

test('files of the same name of two inputs are two parts; what changed comes first, with what it was', () => {
  const known: Record<string, KeyPart[]> = {
    def: [{ kind: 'args', name: '', value: 'make' }],
    a1: [file('/x', '1'), file('/gone', '1')],
    a2: [file('/x', '2'), file('/new', '1')],
    b: [file('/x', '9')],
  };
  const table = keyTable(digest => known[digest]);
  const { slots, keys, keysLeft } = table.keysOf(step('a2', 'b'), step('a1', 'b'), index => `input ${index}`);
  assert.deepEqual(slots, ['the step itself', 'files of input 1', 'files of input 2']);
  assert.deepEqual(
    keys.map(({ slot, part, ...rest }) => ({ slot, part: table.parts[part]?.join(' '), ...rest })),
    [
      { slot: 1, part: 'file /x 2', change: 'changed', before: '1' },
      { slot: 1, part: 'file /new 1', change: 'new' },
      { slot: 1, part: 'file /gone 1', change: 'gone' },
      { slot: 0, part: 'args  make' },
      { slot: 2, part: 'file /x 9' },
    ],
  );
  assert.equal(keysLeft, 0);
});
