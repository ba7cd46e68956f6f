import assert from 'node:assert/strict';
import { existsSync, mkdtempDisposableSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { openContentStore } from './content-store.ts';
import { createWorkerPool } from './pool.ts';
import { BlobMissingError, DigestMismatchError, explainWriteError, StoreUnwritableError } from './store-error.ts';

function temporary() {
  return mkdtempDisposableSync(join(tmpdir(), 'outcrop-content-'));
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const hello = digestOf('hello');

test('what is written is an OCI layout and reads back', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  assert.deepEqual(await store.write(Buffer.from('hello')), { digest: hello, size: 5 });
  assert.equal(readFileSync(join(directory.path, 'oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}');
  assert.ok(existsSync(join(directory.path, 'blobs/sha256', hello.slice(7))));
  assert.equal(await collect(store.read(hello)), 'hello');
  assert.equal(await collect(store.read(hello, { start: 1, end: 3 })), 'el');
  assert.equal(await collect(store.read(hello, { start: 3, end: 3 })), '');
  assert.equal((await store.bytes(hello)).toString(), 'hello');
  assert.ok(store.has(hello, 5) && !store.has(hello, 4));
  assert.deepEqual(openContentStore(directory.path).list(), [{ digest: hello, size: 5 }]);
  assert.ok(store.delete(hello));
  assert.ok(!store.delete(hello));
  await assert.rejects(collect(store.read(hello)), BlobMissingError);
  await assert.rejects(store.bytes(hello), BlobMissingError);
});

test('other bytes than promised are refused and leave nothing', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  await assert.rejects(store.write(Buffer.from('hallo'), { digest: hello }), DigestMismatchError);
  await assert.rejects(store.write(Buffer.from('hell'), { digest: hello, size: 5 }), /expected 5 bytes, got 4 bytes/);
  await assert.rejects(store.write(Buffer.from('hello!'), { size: 5 }), /expected 5 bytes, got more/);
  await assert.rejects(
    store.write(
      (async function* () {
        yield Buffer.from('he');
        throw new Error('connection reset');
      })(),
    ),
    /connection reset/,
  );
  assert.deepEqual(store.list(), []);
  assert.deepEqual(readdirSync(join(directory.path, 'ingest')), []);
});

test('an aborted write leaves nothing', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  const controller = new AbortController();
  async function* endless() {
    for (let i = 0; ; i++) {
      if (i === 3) controller.abort(new Error('stop'));
      yield Buffer.alloc(10);
    }
  }
  await assert.rejects(store.write(endless(), {}, controller.signal), /stop/);
  assert.deepEqual(readdirSync(join(directory.path, 'ingest')), []);
});

test('writers of one digest do not disturb each other', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  async function* slowly() {
    for (const letter of 'hello') {
      await new Promise(resolve => setImmediate(resolve));
      yield Buffer.from(letter);
    }
  }
  await Promise.all([1, 2, 3, 4].map(() => store.write(slowly(), { digest: hello, size: 5 })));
  assert.deepEqual(store.list(), [{ digest: hello, size: 5 }]);
});

test('a source that is not needed is closed', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  await store.write(Buffer.from('hello'));
  let closed = false;
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.reject(new Error('read')),
      return: () => {
        closed = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  assert.deepEqual(await store.write(source, { digest: hello }), { digest: hello, size: 5 });
  assert.ok(closed);
});

test('a damaged blob is found by its digest', async () => {
  using directory = temporary();
  await using pool = createWorkerPool(1);
  const store = openContentStore(directory.path, () => pool);
  await store.write(Buffer.from('hello'));
  assert.ok(await store.verify(hello));
  truncateSync(store.path(hello), 3);
  assert.ok(!(await store.verify(hello)));
  assert.ok(!store.has(hello));
  await store.write(Buffer.from('hello'));
  writeFileSync(store.path(hello), 'hallo');
  await assert.rejects(store.bytes(hello), DigestMismatchError);
  assert.ok(!store.has(hello));
});

test('what crashed writers left is swept', async () => {
  using directory = temporary();
  const store = openContentStore(directory.path);
  writeFileSync(store.ingestPath(), 'half');
  store.sweep();
  assert.deepEqual(readdirSync(join(directory.path, 'ingest')), []);
  const path = store.ingestPath();
  writeFileSync(path, 'hello');
  store.adopt(path, { digest: hello, size: 5 });
  assert.ok(store.has(hello));
});

test('errors that mean an unwritable store say what to do', () => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES']) {
    const error = explainWriteError(Object.assign(new Error('no'), { code }), '/store');
    assert.ok(error instanceof StoreUnwritableError);
    assert.match(error.message, /outcrop prune|OUTCROP_ROOT/);
    assert.equal(explainWriteError(error, '/other'), error);
  }
  const other = new Error('other');
  assert.equal(explainWriteError(other, '/store'), other);
});
