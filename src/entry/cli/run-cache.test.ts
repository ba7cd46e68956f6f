import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runDiff, runInspect, runVerify } from './run-cache.ts';

const vectors = fileURLToPath(new URL('../../../test/vectors/remote-cache/', import.meta.url));
const recorded = (name: string) => join(vectors, name);
const temporary = mkdtempSync(join(tmpdir(), 'outcrop-cache-'));
after(() => rmSync(temporary, { recursive: true }));
/** A root where nothing was built: steps have no names. */
const nowhere = join(temporary, 'nowhere');

test('inspect shows records, layers, sizes and ages', async () => {
  const now = Date.parse('2026-11-26T00:00:00Z');
  const { text, exitCode } = await runInspect(recorded('two-stages/min'), {}, nowhere, now);
  assert.equal(exitCode, 0);
  assert.match(text, /^Cache: +.*two-stages\/min\nKind: +a cache of its own, application\/vnd\.oci\.image\.manifest/);
  assert.match(text, /\nNewest result: +44 hours ago\n/);
  assert.match(text, /\nSteps: +\d+, 2 with a result; of \d+ only the key: mode=min exports only what/);
  assert.match(text, /\nSTEP +LAYERS +SIZE +MADE +WHAT\n/);
  assert.match(text, /\nLAYER +SIZE +MADE +WHAT\n[0-9a-f]{12} +\d+B +44 hours ago\n/);
});

test('inspect prints JSON', async () => {
  const { text } = await runInspect(`type=local,src=${recorded('inline-two-stages/layout')}`, { json: true }, nowhere);
  const { kind, layers, records } = JSON.parse(text);
  assert.equal(kind, 'inline');
  assert.match(layers[0].createdAt, /^20\d\d-/);
  assert.ok(records.length > 0);
});

test('verify reads every blob', async () => {
  const good = await runVerify(recorded('one-copy/max'));
  assert.deepEqual([good.exitCode, good.text.endsWith('every digest is right\n')], [0, true]);
  const directory = join(temporary, 'damaged');
  cpSync(recorded('two-stages/max'), directory, { recursive: true });
  const { text } = await runInspect(directory, { json: true }, nowhere);
  const [first, second, third] = JSON.parse(text).layers;
  const pathOf = ({ digest }: { digest: string }) => join(directory, 'blobs/sha256', digest.slice('sha256:'.length));
  writeFileSync(pathOf(first), Buffer.alloc(first.size));
  truncateSync(pathOf(second), 1);
  rmSync(pathOf(third));
  const bad = await runVerify(directory);
  assert.equal(bad.exitCode, 1);
  assert.match(bad.text, new RegExp(`^${first.digest}: it is damaged: its bytes have the digest sha256:`));
  assert.match(bad.text, new RegExp(`\n${second.digest}: it ends after 1 of ${second.size} bytes\n`));
  assert.match(bad.text, new RegExp(`\n${third.digest}: .*ENOENT.*\n.*: 3 layers cannot be used\n$`));
});

test('verify refuses a damaged config', async () => {
  const directory = join(temporary, 'config');
  cpSync(recorded('one-copy/max'), directory, { recursive: true });
  const blobs = readdirSync(join(directory, 'blobs/sha256'));
  for (const name of blobs) writeFileSync(join(directory, 'blobs/sha256', name), '{}');
  await assert.rejects(runVerify(directory), /is damaged: its bytes have the digest/);
});

test('diff tells what one holds and the other does not', async () => {
  const same = await runDiff(recorded('two-stages/max'), recorded('two-stages/max'), nowhere);
  assert.deepEqual(same, { text: 'Both hold the same.\n', exitCode: 0 });
  const { text, exitCode } = await runDiff(recorded('two-stages/max'), recorded('two-stages/min'), nowhere);
  assert.equal(exitCode, 1);
  assert.match(text, /^--- .*\/max\n\+\+\+ .*\/min\n(- the result of step sha256:[0-9a-f]{64}\n){2}$/);
  const other = await runDiff(recorded('one-copy/max'), recorded('two-stages/max'), nowhere);
  assert.match(other.text, /^--- .*\n\+\+\+ .*\n(\+ (step|input) sha256:[0-9a-f]{64}\n){5}$/);
});
