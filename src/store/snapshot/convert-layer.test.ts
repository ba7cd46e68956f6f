import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { digestOf } from '../../wire/oci/digest.ts';
import type { TarHeader } from '../content/tar-header.ts';
import { createTarReader } from '../content/tar-reader.ts';
import type { TaskContext } from '../content/task.ts';
import { convertLayer } from './convert-layer.ts';

const context: TaskContext = { signal: new AbortController().signal, throwIfAborted() {} };

function members(tar: Buffer): { readonly header: TarHeader; readonly content: string }[] {
  const found: { header: TarHeader; content: string }[] = [];
  const reader = createTarReader({
    entry: header => found.push({ header, content: '' }),
    data(chunk) {
      const last = found.at(-1);
      if (last !== undefined) last.content += Buffer.from(chunk).toString('latin1');
    },
  });
  reader.push(tar);
  reader.finish();
  return found;
}

test('a blob compressed anew keeps its tar', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-convert-'));
  const tar = Buffer.alloc(3 << 20, 'any bytes at all ');
  const blob = join(place.path, 'blob');
  writeFileSync(blob, gzipSync(tar));
  for (const type of ['uncompressed', 'gzip', 'zstd'] as const) {
    const written = await convertLayer({ blob, output: join(place.path, type), compression: { type } }, context);
    assert.equal(written.diffID, digestOf(tar));
    assert.equal(written.digest, digestOf(readFileSync(join(place.path, type))));
  }
});

test('times after the epoch become it, all else stays', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-convert-'));
  const tree = join(place.path, 'tree');
  mkdirSync(join(tree, 'd'), { recursive: true });
  for (const [name, time] of [
    ['old', 1000.5],
    ['same', 2000],
    ['late', 3000.25],
  ] as const) {
    writeFileSync(join(tree, 'd', name), name.repeat(400));
    utimesSync(join(tree, 'd', name), time, time);
  }
  for (const format of ['gnu', 'pax']) {
    const tar = execFileSync('tar', [`--format=${format}`, '--sort=name', '-C', tree, '-c', 'd']);
    const blob = join(place.path, format);
    writeFileSync(blob, gzipSync(tar));
    const output = `${blob}-out`;
    await convertLayer({ blob, output, compression: { type: 'gzip' }, epoch: 2000 }, context);
    const [before, after] = [members(tar), members(gunzipSync(readFileSync(output)))];
    assert.deepEqual(
      after.map(({ header, content }) => [header.name, header.mode, header.size, content]),
      before.map(({ header, content }) => [header.name, header.mode, header.size, content]),
    );
    const times = after.map(({ header }) => header.mtime + (header.mtimeNanoseconds ?? 0) / 1e9);
    assert.deepEqual(times, format === 'pax' ? [2000, 2000, 1000.5, 2000] : [2000, 2000, 1000, 2000]);
    for (const { header } of after) {
      for (const key of ['atime', 'ctime']) assert.ok(Number(header.records?.get(key) ?? 0) <= 2000);
    }
  }
});
