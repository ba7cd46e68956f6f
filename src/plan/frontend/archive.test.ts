import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { pack } from 'tar-stream';
import { looksLikeArchive } from './archive.ts';

test('compressed files are archives', () => {
  for (const magic of [
    [0x1f, 0x8b, 8],
    [0x42, 0x5a, 0x68],
    [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0],
  ]) {
    assert.equal(looksLikeArchive(Uint8Array.from([...magic, 1, 2, 3])), true);
  }
});

test('a tar is known by its first header', async () => {
  const tar = pack();
  tar.entry({ name: 'file', size: 1 }, 'x');
  tar.finalize();
  const head = (await buffer(tar)).subarray(0, 1024);
  assert.equal(looksLikeArchive(head), true);
  head[0] = (head[0] ?? 0) + 1;
  assert.equal(looksLikeArchive(head), false);
});

test('a Dockerfile is no archive', () => {
  assert.equal(looksLikeArchive(Buffer.from('FROM scratch\n')), false);
  assert.equal(looksLikeArchive(Buffer.from('# comment\n'.repeat(100))), false);
  assert.equal(looksLikeArchive(new Uint8Array(1024)), false);
});
