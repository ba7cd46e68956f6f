import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Code } from './code.ts';
import { readMessages, writeMessage } from './message-frame.ts';
import { hasCode } from './status.ts';

const options = { limit: 1 << 20, encoding: () => 'gzip' };

function frame(flag: number, bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

async function lengths(chunks: readonly Uint8Array[]): Promise<number[]> {
  const found: number[] = [];
  for await (const message of readMessages(Readable.from(chunks, { objectMode: false }), options))
    found.push(message.length);
  return found;
}

test('messages come apart wherever the chunks are cut, empty ones included', async () => {
  const sent = [0, 5, 0, 20_000, 1, 0];
  const bytes = Buffer.concat(sent.map(length => frame(0, new Uint8Array(length))));
  for (const size of [1, 3, 5, 7, 4096, bytes.length]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    assert.deepEqual(await lengths(chunks), sent, `chunks of ${size}`);
  }
});

test('writes what it reads', async () => {
  const stream = new PassThrough();
  const sent = [0, 100, 100_000];
  void (async () => {
    for (const length of sent) await writeMessage(stream, new Uint8Array(length), options.limit);
    stream.end();
  })();
  const found: number[] = [];
  for await (const message of readMessages(stream, options)) found.push(message.length);
  assert.deepEqual(found, sent);
});

test('takes gzip, within the limit', async () => {
  assert.deepEqual(await lengths([frame(1, gzipSync(new Uint8Array(1000)))]), [1000]);
  await assert.rejects(lengths([frame(1, gzipSync(new Uint8Array(2 << 20)))]), e => hasCode(e, Code.resourceExhausted));
  await assert.rejects(lengths([frame(1, Buffer.from('not gzip'))]), e => hasCode(e, Code.internal));
});

test('refuses what is too large or cut off', async () => {
  await assert.rejects(lengths([frame(0, new Uint8Array(1 << 21))]), {
    code: Code.resourceExhausted,
    message: 'grpc: received message larger than max (2097152 vs. 1048576)',
  });
  await assert.rejects(writeMessage(new PassThrough(), new Uint8Array(11), 10), {
    message: 'grpc: trying to send message larger than max (11 vs. 10)',
  });
  await assert.rejects(lengths([frame(0, new Uint8Array(9)).subarray(0, 8)]), e => hasCode(e, Code.internal));
});

test('writing ends with the stream', async () => {
  const stream = new PassThrough({ highWaterMark: 1 });
  const written = writeMessage(stream, new Uint8Array(100), 1000);
  stream.destroy();
  await assert.rejects(written, e => hasCode(e, Code.unavailable));
  await assert.rejects(writeMessage(stream, new Uint8Array(1), 1000), e => hasCode(e, Code.unavailable));
});
