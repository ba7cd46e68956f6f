import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type ArchiveCompression, decompress, detectCompression, MissingProgramError } from './archive-format.ts';

const signal = new AbortController().signal;
const pack = (program: string, input: Buffer) => execFileSync(program, ['-c'], { input });
const text = Buffer.from('some text, again and again '.repeat(5000));

async function read(data: Uint8Array, compression: ArchiveCompression | undefined): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(decompress(Readable.from([data]), compression, signal)));
}

test('formats are told by their first bytes', async () => {
  const packed: Record<string, Buffer> = {
    gzip: gzipSync(text),
    zstd: zstdCompressSync(text),
    bzip2: pack('bzip2', text),
    xz: pack('xz', text),
  };
  for (const [name, data] of Object.entries(packed)) {
    assert.equal(detectCompression(data), name);
    assert.deepEqual(await read(data, detectCompression(data)), text);
  }
  assert.equal(detectCompression(text), undefined);
  assert.equal(detectCompression(new Uint8Array(2)), undefined);
  const skippable = Buffer.from('5a2a4d1800000000', 'hex');
  assert.equal(detectCompression(skippable), 'zstd');
});

test('bad bytes and missing programs are errors', async () => {
  await assert.rejects(read(Buffer.from('fd377a585a000000', 'hex'), 'xz'), /^Error: xz: /);
  await assert.rejects(read(Buffer.from('1f8b08000000', 'hex'), 'gzip'));
  const { PATH } = process.env;
  process.env['PATH'] = '/nowhere';
  try {
    await assert.rejects(read(text, 'xz'), MissingProgramError);
  } finally {
    process.env['PATH'] = PATH;
  }
});

test('a reader that stops early ends the program', async () => {
  const data = pack('xz', Buffer.alloc(8 << 20));
  for await (const chunk of decompress(Readable.from([data]), 'xz', signal)) {
    assert.ok(chunk.length > 0);
    break;
  }
});
