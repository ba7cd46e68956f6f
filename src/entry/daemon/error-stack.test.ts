import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stackDetail } from './error-stack.ts';
import { errorStatus } from './error-status.ts';

interface Told {
  readonly frames: readonly { readonly Name: string; readonly File: string; readonly Line: number }[];
  readonly pid: number;
}

const decode = (value: Uint8Array) => JSON.parse(new TextDecoder().decode(value)) as Told;

function fail(): Error {
  return new Error('broken');
}

test('an error tells where it comes from, before everything else', () => {
  const { details } = errorStatus(new Error('outer', { cause: fail() }));
  const [detail, ...rest] = details;
  assert.ok(detail);
  assert.equal(rest.length, 0);
  assert.equal(detail.typeUrl, 'github.com/moby/buildkit/stack.Stack+json');
  const { frames, pid } = decode(detail.value);
  assert.equal(pid, process.pid);
  const [first] = frames;
  assert.ok(first);
  assert.equal(first.Name, 'fail');
  assert.equal(first.File, import.meta.filename);
  assert.ok(first.Line > 0);
  assert.ok(frames.every(({ File }) => !File.startsWith('node:')));
});

test('an error without a stack does not', () => {
  const error = new Error('broken');
  error.stack = 'Error: broken';
  assert.equal(stackDetail(error), undefined);
});
