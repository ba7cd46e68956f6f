import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { digestOf } from '../../wire/oci/digest.ts';
import type { LayerCompression } from '../../wire/oci/media-types.ts';
import { createBlobWriter, type WrittenBlob } from './blob-writer.ts';

async function write(
  path: string,
  type: LayerCompression,
  content: Buffer,
  options: { readonly step?: number; readonly parallel?: number; readonly level?: number } = {},
): Promise<WrittenBlob> {
  const { step = 1 << 16, parallel, level } = options;
  using writer = createBlobWriter(path, { type, ...(level === undefined ? {} : { level }) }, parallel);
  for (let at = 0; at < content.length; at += step) {
    // The writer may not keep what it was given.
    const piece = Buffer.from(content.subarray(at, at + step));
    await writer.write(piece);
    piece.fill(0);
  }
  return await writer.finish();
}

const unpack = { uncompressed: (bytes: Buffer) => bytes, gzip: gunzipSync, zstd: zstdDecompressSync };
const types = ['uncompressed', 'gzip', 'zstd'] as const;
const text = Buffer.from(Array.from({ length: 400_000 }, (_, i) => `line ${i % 977} ${(i * 7919) % 1009}\n`).join(''));
const mixed = Buffer.concat([text, randomBytes(3 << 20), text.subarray(0, 1_000_001), Buffer.alloc(1 << 20)]);

test('blobs unpack to what was written, and are named by their digests', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  for (const type of types) {
    for (const [name, content] of Object.entries({ empty: Buffer.alloc(0), small: text.subarray(0, 5000), mixed })) {
      const path = join(directory.path, `${type}-${name}`);
      const blob = await write(path, type, content);
      const stored = readFileSync(path);
      assert.equal(blob.digest, digestOf(stored));
      assert.equal(blob.size, stored.length);
      assert.equal(blob.diffID, digestOf(content));
      assert.equal(blob.uncompressedSize, content.length);
      assert.deepEqual(unpack[type](stored), content, path);
    }
  }
});

test('the bytes do not depend on threads or pieces', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  for (const type of types) {
    const blobs = new Set<string>();
    for (const [step, parallel] of [
      [997, 1],
      [1 << 20, 3],
      [1 << 23, 2],
    ] as const) {
      blobs.add((await write(join(directory.path, `${type}-${step}`), type, mixed, { step, parallel })).digest);
    }
    assert.equal(blobs.size, 1, type);
  }
});

test('gzip is one member with Go’s header, and other programs read it', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  const path = join(directory.path, 'blob');
  await write(path, 'gzip', mixed);
  assert.equal(readFileSync(path).subarray(0, 10).toString('hex'), '1f8b08000000000000ff');
  assert.deepEqual(execFileSync('gzip', ['-dc'], { input: readFileSync(path), maxBuffer: 1 << 28 }), mixed);
});

test('levels count, noise does not grow', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  const fast = await write(join(directory.path, '1'), 'gzip', text, { level: 1 });
  const best = await write(join(directory.path, '9'), 'gzip', text, { level: 9 });
  assert.ok(best.size < fast.size);
  const none = await write(join(directory.path, '0'), 'gzip', text, { level: 0 });
  assert.ok(none.size > text.length);
  const noise = randomBytes(4 << 20);
  const stored = await write(join(directory.path, 'noise'), 'gzip', noise);
  assert.ok(stored.size < noise.length * 1.001);
  const zstd = await Promise.all(
    [1, 15].map(level => write(join(directory.path, `z${level}`), 'zstd', text.subarray(0, 1 << 19), { level })),
  );
  assert.ok((zstd[1]?.size ?? 0) < (zstd[0]?.size ?? 0));
});

test('where less work does as well, gzip does less, for hardly more bytes', async t => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  const program = readFileSync(process.execPath).subarray(0, 20 << 20);
  const usual = await write(join(directory.path, 'usual'), 'gzip', program, { level: 6 });
  const chosen = await write(join(directory.path, 'chosen'), 'gzip', program);
  t.diagnostic(`${(chosen.size / usual.size).toFixed(4)} of the size at level 6`);
  assert.notEqual(chosen.digest, usual.digest);
  assert.ok(chosen.size < usual.size * 1.02);
  // The first 8 MiB decide for the next.
  const short = await write(join(directory.path, 'short'), 'gzip', text);
  assert.equal(short.digest, (await write(join(directory.path, 'short-6'), 'gzip', text, { level: 6 })).digest);
});

test('an unfinished blob leaves no file', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-blob-'));
  const path = join(directory.path, 'blob');
  {
    using writer = createBlobWriter(path, { type: 'gzip' });
    await writer.write(mixed);
  }
  assert.ok(!existsSync(path));
});
