import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { BuildEvent } from '../status/event.ts';
import { localOp, openLocalContexts } from './local.ts';
import { localKey, parseLocalSource } from './local-key.ts';
import { SourceError, sourceCacheMap } from './source-key.ts';
import { sourceProgress } from './source-progress.ts';

interface Case {
  readonly name: string;
  readonly op: { readonly source: { readonly identifier: string; readonly attrs?: Readonly<Record<string, string>> } };
  readonly expect: { readonly keys: readonly { key: string; keyPreimage: string; digest: string }[] };
}

const all: readonly Case[] = JSON.parse(
  readFileSync(new URL('../../../test/vectors/cache-keys/source.json', import.meta.url), 'utf8'),
);
const cases = all.filter(({ op }) => op.source.identifier.startsWith('local://'));

test('keys of local sources are those of BuildKit', t => {
  for (const { name, op, expect } of cases) {
    const key = localKey(parseLocalSource(op.source.identifier, op.source.attrs ?? {}), 'another');
    const { digest } = sourceCacheMap(key);
    const [expected] = expect.keys;
    assert.deepEqual(
      { key: key.key, keyPreimage: key.preimage, digest },
      { key: expected?.key, keyPreimage: expected?.keyPreimage, digest: expected?.digest },
      name,
    );
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('attributes that are no lists are refused', () => {
  for (const text of ['x', '{}', '[1]']) {
    assert.throws(() => parseLocalSource('local://context', { 'local.followpaths': text }), SourceError);
  }
});

test('a build sees a directory as it first read it, through every filter and name', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-local-'));
  const directory = join(scratch.path, 'app');
  const state = join(scratch.path, 'state');
  mkdirSync(directory);
  symlinkSync('app', join(scratch.path, 'link'));
  writeFileSync(join(directory, 'a'), 'one');
  writeFileSync(join(directory, 'b.md'), 'two');
  await setTimeout(40);
  const digests: string[] = [];
  for (let build = 0; build < 2; build++) {
    using contexts = openLocalContexts(state);
    const contents = contexts.open(directory, { excludePatterns: ['*.md'] });
    digests.push(await contents.checksum('/a'), await contents.checksum('/'));
    writeFileSync(join(directory, 'new'), 'new');
    assert.equal(contexts.open(join(scratch.path, 'link'), { excludePatterns: ['*.md'] }), contents);
    const other = contexts.open(join(scratch.path, 'link'), { includePatterns: ['a'] });
    assert.deepEqual(await other.checksum('/'), digests[1]);
    await assert.rejects(contents.checksum('/b.md'), { kind: 'not-found' });
    await assert.rejects(contexts.open(directory, {}).checksum(build === 0 ? '/new' : '/newer'), { kind: 'not-found' });
  }
  assert.equal(digests[0], digests[2]);
  assert.notEqual(digests[1], digests[3]);
  assert.match(readdirSync(state).join(), /^context-[0-9a-f]{32},/);
});

test('a local source is the directory itself', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-local-'));
  writeFileSync(join(scratch.path, 'a'), 'a');
  using contexts = openLocalContexts(join(scratch.path, 'state'));
  const events: BuildEvent[] = [];
  const progress = sourceProgress(
    'sha256:vertex',
    event => events.push(event),
    () => 0n,
  );
  const open = (name: string, attrs = {}) => {
    const vertex = { digest: 'sha256:vertex', name, inputs: [], ignoreCache: false };
    const platform = { os: 'linux', architecture: 'amd64' };
    const request = { vertex, identifier: `local://${name}`, attrs, platform };
    return localOp(request, { contexts, session: 's', directories: new Map([['context', scratch.path]]) }, progress);
  };
  const { signal } = new AbortController();
  const op = open('context', { 'local.followpaths': '["a"]' });
  assert.match((await op.cacheMap(0, signal)).map.digest, /^random:/);
  const [ref] = await op.exec([], signal);
  assert.ok(ref?.kind === 'local');
  assert.equal((await ref.contents.examine('/')).entries().length, 2);
  assert.deepEqual([...new Set(events.map(event => event.kind === 'status' && event.id))], ['transferring context:']);
  await assert.rejects(open('other').exec([], signal), { message: 'no access allowed to dir "other"' });
  await assert.rejects(open('context', { 'local.metadatatransfer': 'true' }).exec([], signal), SourceError);
});
