import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { OCI_LAYER_GZIP } from '../../wire/oci/media-types.ts';
import { type ContentStore, openContentStore } from '../content/content-store.ts';
import { BlobMissingError, DigestMismatchError, InvalidArchiveError } from '../content/store-error.ts';
import { encodeTarHeader, TAR_END } from '../content/tar-header.ts';
import { openDatabase } from '../database.ts';
import { ownStore, shareStore } from '../lock.ts';
import type { LayerBlobOptions } from './layer-blobs.ts';
import { type LayerStore, openLayerStore } from './layer-store.ts';
import { LayerMissingError, type LazyLayer } from './unpack-layers.ts';

const root = process.getuid?.() === 0;
const signal = new AbortController().signal;
const gzip: LayerBlobOptions = { compression: { type: 'gzip', force: false }, family: 'oci' };
const plain: LayerBlobOptions = { compression: { type: 'uncompressed', force: true }, family: 'oci' };

interface Opened extends AsyncDisposable {
  readonly root: string;
  readonly content: ContentStore;
  readonly layers: LayerStore;
}

describe('the layer store', { skip: root ? false : 'needs root to mount' }, () => {
  let place = '';
  let count = 0;
  before(() => {
    enterPrivateMountNamespace();
    place = mkdtempSync(join(tmpdir(), 'outcrop-layers-'));
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  const open = (at = join(place, String(count++))): Opened => {
    const content = openContentStore(join(at, 'content'));
    const database = openDatabase(at);
    const layers = openLayerStore({ root: at, content, database });
    return {
      root: at,
      content,
      layers,
      async [Symbol.asyncDispose]() {
        await layers[Symbol.asyncDispose]();
        database[Symbol.dispose]();
      },
    };
  };

  const build = async (
    layers: LayerStore,
    parents: readonly string[],
    step: (path: string) => void,
  ): Promise<string> => {
    await using active = await layers.prepare(parents, signal);
    step(await active.mount(signal));
    return await active.commit(signal);
  };

  const names = async (layers: LayerStore, ids: readonly string[]): Promise<string[]> => {
    await using view = await layers.view(ids, signal);
    return readdirSync(view.path, { recursive: true, encoding: 'utf8' }).sort();
  };

  const tarOf = (files: Readonly<Record<string, string>>): Buffer =>
    Buffer.concat([
      ...Object.entries(files).flatMap(([name, content]) => [
        encodeTarHeader({ name, type: '0', mode: 0o644, uid: 0, gid: 0, size: content.length, mtime: 1000 }),
        Buffer.from(content),
        Buffer.alloc((512 - (content.length % 512)) % 512),
      ]),
      TAR_END,
    ]);

  const lazy = (tar: Buffer): LazyLayer & { readonly fetched: () => number } => {
    const blob = gzipSync(tar);
    let fetched = 0;
    return {
      descriptor: { mediaType: OCI_LAYER_GZIP, digest: digestOf(blob), size: blob.length },
      diffId: digestOf(tar),
      fetch: async function* () {
        fetched++;
        yield blob;
      },
      fetched: () => fetched,
    };
  };

  it('stacks layers that steps write, and forgets those that failed', async () => {
    await using store = open();
    const { layers } = store;
    const one = await build(layers, [], path => writeFileSync(join(path, 'a'), 'a'));
    const two = await build(layers, [one], path => {
      rmSync(join(path, 'a'));
      writeFileSync(join(path, 'b'), 'b');
    });
    assert.deepEqual(await names(layers, []), []);
    assert.deepEqual(await names(layers, [one]), ['a']);
    assert.deepEqual(await names(layers, [one, two]), ['b']);
    assert.deepEqual(await names(layers, [two]), ['b']);
    await assert.rejects(
      build(layers, [one, two], () => {
        throw new Error('step failed');
      }),
    );
    assert.deepEqual(readdirSync(join(store.root, 'layers')).sort(), ['.tmp', one, two].sort());
    await layers[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(join(store.root, 'layers/.tmp')), []);
    assert.deepEqual(layers.get(two)?.parents, [one]);
    await assert.rejects(layers.prepare(['nope'], signal), LayerMissingError);
  });

  it('shows views read-only', async () => {
    await using store = open();
    const one = await build(store.layers, [], path => writeFileSync(join(path, 'a'), 'a'));
    for (const ids of [[], [one], [one, one]]) {
      await using view = await store.layers.view(ids, signal);
      assert.throws(() => writeFileSync(join(view.path, 'x'), ''), { code: 'EROFS' });
    }
  });

  it('takes a layer that comes twice where it comes last', async () => {
    await using store = open();
    const { layers } = store;
    const write = (name: string) => (path: string) => writeFileSync(join(path, name), name);
    const base = await build(layers, [], write('base'));
    const one = await build(layers, [base], path => {
      rmSync(join(path, 'base'));
      write('one')(path);
    });
    const two = await build(layers, [base], write('two'));
    assert.deepEqual(await names(layers, [base, one, base, two]), ['base', 'one', 'two']);
    const three = await build(layers, [base, one, base, two], path => rmSync(join(path, 'base')));
    assert.deepEqual(await names(layers, [base, one, base, two, three]), ['one', 'two']);
  });

  it('unpacks lazy layers once, whoever asks, and shares equal ones', async () => {
    await using store = open();
    const { layers } = store;
    const base = lazy(tarOf({ a: 'a', 'd/b': 'b' }));
    const upper = lazy(tarOf({ '.wh.a': '', c: 'c' }));
    const first = layers.addLazy(base);
    const second = layers.addLazy(upper, [first]);
    assert.equal(first, base.diffId.slice(7));
    assert.equal(second, digestOf(`${base.diffId} ${upper.diffId}`).slice(7));
    assert.equal(layers.addLazy(upper, [layers.addLazy(base)]), second);
    assert.equal(base.fetched(), 0);
    const seen: string[] = [];
    await using other = open(store.root);
    await Promise.all([
      layers.unlazy([first, second], signal, (blob, work) => {
        seen.push(blob.digest);
        return work();
      }),
      layers.unlazy([first, second], signal),
      other.layers.unlazy([first], signal).catch(error => assert.ok(error instanceof BlobMissingError)),
    ]);
    assert.deepEqual(seen, [base.descriptor.digest, upper.descriptor.digest]);
    assert.deepEqual([base.fetched(), upper.fetched()], [1, 1]);
    assert.deepEqual(await names(layers, [first, second]), ['c', 'd', 'd/b']);
    assert.deepEqual(await names(other.layers, [first, second]), ['c', 'd', 'd/b']);
  });

  it('refuses blobs that are not what was promised, and fetches damaged ones again', async () => {
    await using store = open();
    const { layers, content } = store;
    const tampered = lazy(tarOf({ a: 'a' }));
    const bad = layers.addLazy({ ...tampered, fetch: () => lazy(tarOf({ a: 'b' })).fetch(signal) });
    await assert.rejects(layers.unlazy([bad], signal), DigestMismatchError);
    const lying = { ...lazy(tarOf({ x: 'x' })), diffId: digestOf('other') };
    await assert.rejects(layers.unlazy([layers.addLazy(lying)], signal), DigestMismatchError);
    const noTar = { ...lazy(Buffer.alloc(1024, 'nonsense')), diffId: digestOf('x') };
    await assert.rejects(layers.unlazy([layers.addLazy(noTar)], signal), InvalidArchiveError);
    assert.equal(noTar.fetched(), 1);

    const good = lazy(tarOf({ g: 'g' }));
    const id = layers.addLazy(good);
    await content.write(good.fetch(signal));
    const path = content.path(good.descriptor.digest);
    const bytes = readFileSync(path);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    assert.deepEqual(await names(layers, [id]), ['g']);
    assert.ok(await content.verify(good.descriptor.digest));
  });

  it('leaves nothing when unpacking is aborted', async () => {
    await using store = open();
    const controller = new AbortController();
    const endless: LazyLayer = {
      descriptor: { mediaType: OCI_LAYER_GZIP, digest: digestOf('endless'), size: 1 << 30 },
      diffId: digestOf('x'),
      fetch: async function* (stop) {
        for (;;) {
          stop.throwIfAborted();
          yield Buffer.alloc(100);
          await new Promise(resolve => setTimeout(resolve, 1));
        }
      },
    };
    const id = store.layers.addLazy(endless);
    setTimeout(() => controller.abort(new Error('stop')), 20);
    await assert.rejects(store.layers.unlazy([id], controller.signal), /stop/);
    assert.deepEqual(readdirSync(join(store.root, 'content/ingest')), []);
    assert.deepEqual(readdirSync(join(store.root, 'layers/.tmp')), []);
  });

  it('makes blobs of layers, the same each time, small or large', async () => {
    await using store = open();
    const { layers, content } = store;
    for (const size of [10, 3 << 20]) {
      const fill = (path: string): void => {
        mkdirSync(join(path, 'd'));
        writeFileSync(join(path, 'd/f'), Buffer.alloc(size, 'content '));
        chmodSync(join(path, 'd'), 0o711);
      };
      const [one, two] = [await build(layers, [], fill), await build(layers, [], fill)];
      const options = { ...gzip, epoch: 1_000_000 };
      const [a, b] = await Promise.all([layers.toBlob(one, options, signal), layers.toBlob(two, options, signal)]);
      assert.deepEqual(a, b);
      assert.equal(a.descriptor.mediaType, OCI_LAYER_GZIP);
      assert.equal(a.descriptor.annotations?.['buildkit/rewritten-timestamp'], '1000000');
      assert.equal(digestOf(gunzipSync(await content.bytes(a.descriptor.digest))), a.diffID);
      const whole = await layers.toBlob(one, plain, signal);
      assert.equal(whole.descriptor.digest, whole.diffID);
      assert.equal(layers.get(one)?.diffID, whole.diffID);
      // Remembered, until the blob is gone.
      content.delete(whole.descriptor.digest);
      assert.deepEqual(await layers.toBlob(one, plain, signal), whole);
      assert.ok(content.has(whole.descriptor.digest, whole.descriptor.size));
    }
    assert.deepEqual(readdirSync(join(store.root, 'content/ingest')), []);
  });

  it('keeps the blobs of lazy layers unless they must change', async () => {
    await using store = open();
    const { layers, content } = store;
    const base = lazy(tarOf({ a: 'a' }));
    const id = layers.addLazy(base);
    const kept = await layers.toBlob(id, { ...gzip, compression: { type: 'zstd', force: false } }, signal);
    assert.deepEqual(kept, { descriptor: base.descriptor, diffID: base.diffId });
    assert.equal(base.fetched(), 0);
    const whole = await layers.toBlob(id, plain, signal);
    assert.equal(whole.diffID, base.diffId);
    assert.equal(whole.descriptor.digest, base.diffId);
    const early = await layers.toBlob(id, { ...plain, epoch: 500 }, signal);
    const expected = tarOf({ a: 'a' });
    encodeTarHeader({ name: 'a', type: '0', mode: 0o644, uid: 0, gid: 0, size: 1, mtime: 500 }).forEach((byte, at) => {
      expected[at] = byte;
    });
    assert.equal(early.diffID, digestOf(expected));
    assert.ok(!layers.get(id)?.isUnpacked);
    assert.ok(content.has(early.descriptor.digest));
    assert.deepEqual(layers.blobs(), new Set([base, whole, early].map(({ descriptor }) => descriptor.digest)));
  });

  it('makes differences of trees', async () => {
    await using store = open();
    const { layers } = store;
    const base = await build(layers, [], path => {
      for (const name of ['a', 'b']) writeFileSync(join(path, name), name);
    });
    const one = await build(layers, [base], path => writeFileSync(join(path, 'c'), 'c'));
    const two = await build(layers, [base], path => {
      rmSync(join(path, 'a'));
      mkdirSync(join(path, 'd'));
      writeFileSync(join(path, 'd/e'), 'e');
    });
    const [only = ''] = await layers.diff([base], [base, one], signal);
    assert.deepEqual(await names(layers, [only]), ['c']);
    assert.deepEqual(await layers.diff([base], [base], signal), []);
    const [difference = ''] = await layers.diff([base, one], [base, two], signal);
    assert.deepEqual(await names(layers, [difference]), ['d', 'd/e']);
    const below = [base, one];
    const whole = [...below, ...(await layers.stack([difference], below, signal))];
    assert.deepEqual(await names(layers, whole), ['b', 'd', 'd/e']);
    const { descriptor } = await layers.toBlob(difference, plain, signal);
    const tar = (await store.content.bytes(descriptor.digest)).toString('latin1');
    assert.deepEqual(tar.match(/(?<=^|\0)(\.wh\.\w+|d\/\w*)(?=\0)/g), ['.wh.a', '.wh.c', 'd/', 'd/e']);
  });

  it('lets layers be used on others than they were made on', async () => {
    await using store = open();
    const { layers } = store;
    const base = await build(layers, [], path => {
      mkdirSync(join(path, 'kept'));
      mkdirSync(join(path, 'renewed'));
      for (const name of ['kept/a', 'renewed/b', 'same']) writeFileSync(join(path, name), name);
    });
    const top = await build(layers, [base], path => {
      // What is moved there and back leaves copies in the layer; a directory that is made anew hides the old one.
      chmodSync(join(path, 'kept'), 0o755);
      renameSync(join(path, 'same'), join(path, 'other'));
      renameSync(join(path, 'other'), join(path, 'same'));
      rmSync(join(path, 'renewed'), { recursive: true });
      mkdirSync(join(path, 'renewed'));
      writeFileSync(join(path, 'renewed/c'), 'c');
    });
    const other = await build(layers, [], path => {
      mkdirSync(join(path, 'renewed'));
      for (const name of ['renewed/b', 'renewed/d']) writeFileSync(join(path, name), name);
    });
    assert.deepEqual(await layers.stack([base], [other], signal), [base]);
    assert.deepEqual(await layers.stack([base, top], [], signal), [base, top]);
    const alone = await layers.stack([top], [], signal);
    assert.deepEqual(await names(layers, alone), ['renewed', 'renewed/c']);
    // What is hidden depends on what is there.
    const moved = await layers.stack(alone, [other], signal);
    assert.deepEqual(await names(layers, [other, ...moved]), ['renewed', 'renewed/c', 'renewed/d']);
    assert.deepEqual(await layers.stack([top], [other], signal), moved);
    const [original, ...blobs] = await Promise.all(
      [top, ...alone, ...moved].map(async id => (await layers.toBlob(id, plain, signal)).diffID),
    );
    assert.deepEqual(blobs, [original, original]);
  });

  it('survives removal and crashes', async () => {
    await using store = open();
    const { layers, content, root: at } = store;
    const one = await build(layers, [], path => writeFileSync(join(path, 'a'), 'a'));
    const two = await build(layers, [], path => writeFileSync(join(path, 'b'), 'b'));
    const base = lazy(tarOf({ c: 'c' }));
    const three = layers.addLazy(base);
    await layers.unlazy([three], signal);
    assert.deepEqual(
      (await layers.usage(signal)).map(({ id, size }) => [id, size]).sort(),
      [one, two, three].map(id => [id, 8192]).sort(),
    );
    await layers.remove([one]);
    assert.ok(!layers.has(one) && !existsSync(join(at, 'layers', one)));
    // A directory without a row, rows without a directory, things half made.
    renameSync(join(at, 'layers', two), join(at, 'layers', 'stray'));
    rmSync(join(at, 'layers', three), { recursive: true });
    mkdirSync(join(at, 'layers/.tmp/half/fs'), { recursive: true });
    appendFileSync(content.ingestPath(), 'half');
    using lock = await shareStore(at, () => layers.sweep(), signal);
    assert.equal(lock.mode, 'shared');
    assert.deepEqual(readdirSync(join(at, 'layers')), ['.tmp']);
    assert.deepEqual(readdirSync(join(at, 'layers/.tmp')), []);
    assert.deepEqual(readdirSync(join(at, 'content/ingest')), []);
    assert.ok(!layers.has(two));
    assert.deepEqual(await names(layers, [three]), ['c']);
    await assert.rejects(ownStore(at, AbortSignal.timeout(20)), { name: 'TimeoutError' });
  });

  it('says when a blob cannot be had', async () => {
    const digest: Digest = digestOf('x');
    const at = join(place, String(count++));
    {
      await using store = open(at);
      store.layers.addLazy({
        descriptor: { mediaType: OCI_LAYER_GZIP, digest, size: 1 },
        diffId: digest,
        fetch: () => {
          throw new Error('not now');
        },
      });
    }
    await using store = open(at);
    await assert.rejects(store.layers.unlazy([digest.slice(7)], signal), BlobMissingError);
  });
});
