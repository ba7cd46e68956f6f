import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDigest } from '../../../wire/oci/digest.ts';
import { type Ref, snapshotRef } from '../../ops/ref.ts';
import type { LocalCache } from '../../solver/cache.ts';
import { type CacheKey, idIn, type KeyLink, recordDigest } from '../../solver/key.ts';
import { saveResult } from '../../solver/lookup.ts';
import { type CacheRecordNode, recordGraph } from '../../solver/record-graph.ts';
import type { KeyPart } from '../../status/event.ts';
import { cacheConfig } from '../cache-config.ts';
import { importedCache } from '../imported-cache.ts';
import { memoryKeyStore } from '../memory-key-store.ts';
import { readRecords } from '../read-records.ts';
import { cacheManifest, configDocument } from './cache-manifest.ts';
import { collectRecords } from './collect-records.ts';
import { directoryReader } from './directory-place.ts';
import { inlineJson } from './inline-export.ts';
import type { CacheLayer } from './port.ts';
import { type ReadSource, readSource } from './read-source.ts';

const vectors = new URL('../../../../test/vectors/', import.meta.url);
const signal = AbortSignal.timeout(60_000);

interface Recording {
  readonly name: string;
  readonly directory: string;
  readonly keys: Readonly<Record<string, { readonly data?: readonly { readonly text?: string }[] }>>;
}

const recordings = readdirSync(new URL('remote-cache/', vectors)).flatMap((name): Recording[] => {
  const place = (file: string) => new URL(`remote-cache/${name}/${file}`, vectors);
  if (!existsSync(place('keys.json'))) return [];
  const { keys } = JSON.parse(readFileSync(place('keys.json'), 'utf8'));
  return ['min', 'max', 'layout'].flatMap(mode =>
    existsSync(place(mode)) ? [{ name: `${name} ${mode}`, directory: fileURLToPath(place(mode)), keys }] : [],
  );
});

async function read(directory: string): Promise<ReadSource & { bytes: Uint8Array; text: string }> {
  const reader = directoryReader(directory, 'latest');
  const root = await reader.resolve(signal);
  const source = await readSource(reader, root, async () => undefined, signal);
  const { manifest } = source;
  const config =
    manifest.kind === 'cache' ? manifest.config : manifest.kind === 'image' ? manifest.manifest.config : root;
  const text = new TextDecoder().decode(await reader.document(config, signal));
  return { ...source, bytes: await reader.manifest(root, signal), text };
}

function recordsOf({ caches }: ReadSource): readonly CacheRecordNode<CacheLayer>[] {
  const layers = new Map<string, CacheLayer>();
  for (const descriptor of caches.flatMap(cache => cache.layers)) {
    const diffId = descriptor.annotations?.['containerd.io/uncompressed'] ?? '';
    assert(isDigest(diffId));
    const open = () => assert.fail('no layer is needed');
    layers.set(descriptor.digest, { digest: descriptor.digest, descriptor, diffId, open });
  }
  const graph = recordGraph<CacheLayer>();
  for (const { config } of caches) readRecords(graph, config, digest => layers.get(digest));
  return graph.records();
}

const contents = recordings.filter(({ name }) => !name.endsWith('layout'));
const inlines = recordings.filter(({ name }) => name.endsWith('layout'));

test(`config and manifest of ${contents.length} of ${contents.length} recorded caches are written with the same bytes`, async t => {
  for (const { name, directory } of contents) {
    await t.test(name, async () => {
      const source = await read(directory);
      const config = cacheConfig(recordsOf(source));
      assert.equal(JSON.stringify(config), source.text);
      const { manifest } = source;
      assert(manifest.kind === 'cache');
      const written = cacheManifest(configDocument(source.text).descriptor, manifest.layers, {
        ociMediaTypes: !manifest.mediaType.includes('docker'),
        imageManifest: manifest.mediaType.includes('manifest.v1'),
      });
      assert.equal(Buffer.from(written.bytes).toString(), Buffer.from(source.bytes).toString());
    });
  }
});

test(`records of ${inlines.length} of ${inlines.length} recorded images are written with the same bytes`, async t => {
  for (const { name, directory } of inlines) {
    await t.test(name, async () => {
      const source = await read(directory);
      const { rootfs, 'moby.buildkit.cache.v0': cache } = JSON.parse(source.text);
      assert.equal(inlineJson(byDiffId(recordsOf(source)), rootfs.diff_ids), Buffer.from(cache, 'base64').toString());
    });
  }
});

test('the inline cache of a recorded image with rewritten times: 1 of 1', () => {
  const { documents } = JSON.parse(readFileSync(new URL('images/12-inline-cache.json', vectors), 'utf8'));
  const config = Object.values<string>(documents).find(text => text.includes('moby.buildkit.cache.v0'));
  const { rootfs, 'moby.buildkit.cache.v0': cache } = JSON.parse(config ?? '');
  const text = Buffer.from(cache, 'base64').toString();
  const diffIds: string[] = rootfs.diff_ids;
  const graph = recordGraph<{ digest: string }>();
  const layers = diffIds.map((blob, index) => ({ blob, parent: index - 1 }));
  readRecords(graph, { layers, records: JSON.parse(text) }, digest => ({ digest }));
  assert.equal(inlineJson(graph.records(), diffIds), text);
});

function byDiffId(records: readonly CacheRecordNode<CacheLayer>[]): readonly CacheRecordNode<{ digest: string }>[] {
  for (const { results } of records) {
    for (const [index, { layers, createdAt }] of results.entries()) {
      results[index] = { createdAt, layers: layers.map(layer => ({ ...layer, digest: layer.diffId })) };
    }
  }
  return records;
}

const noParts: readonly KeyPart[] = [];

/** The keys that the records were made of, by what their digests are digests of. */
function keysOf(records: readonly CacheRecordNode<CacheLayer>[], preimages: Recording['keys']) {
  const keys = new Map<CacheRecordNode<CacheLayer>, CacheKey<Ref>>();
  const keyOf = (record: CacheRecordNode<CacheLayer>): CacheKey<Ref> => {
    const known = keys.get(record);
    if (known !== undefined) return known;
    const [digest = '', output] = preimages[record.digest]?.data?.[0]?.text?.split('@') ?? [];
    assert.equal(recordDigest(digest, Number(output)), record.digest);
    const inputs = record.inputs.map(alternatives =>
      alternatives.map((input): KeyLink<Ref> => ({ key: keyOf(input.record), selector: input.selector })),
    );
    const key = { digest, output: Number(output), inputs, ids: new Map(), parts: () => noParts, records: [] };
    keys.set(record, key);
    return key;
  };
  for (const record of records) keyOf(record);
  return keys;
}

test(`every step of ${recordings.length} of ${recordings.length} recorded caches hits, by any of its keys`, async t => {
  let steps = 0;
  for (const { name, directory, keys: preimages } of recordings) {
    await t.test(name, async () => {
      const records = recordsOf(await read(directory));
      const cache = importedCache<Ref, CacheLayer>({
        id: 'import',
        records,
        result: async layers => snapshotRef(layers.map(layer => layer.diffId)),
      });
      for (const [record, key] of keysOf(records, preimages)) {
        const found = cache.keys.results(idIn(cache.keys, key));
        assert.equal(found.length, record.results.length, record.digest);
        for (const { id } of found) {
          assert(cache.results.exists(id));
          steps++;
        }
      }
    });
  }
  t.diagnostic(`${steps} steps`);
});

test(`${contents.length} of ${contents.length} recorded caches are exported with the same records from a store`, async t => {
  for (const { name, directory, keys: preimages } of contents) {
    await t.test(name, async () => {
      const source = await read(directory);
      const records = recordsOf(source);
      const blobs = new Map(
        records
          .flatMap(({ results }) => results)
          .flatMap(({ layers }) => layers)
          .map(l => [l.digest, l]),
      );
      const results = new Map<string, Ref>();
      const local: LocalCache<Ref> = {
        id: 'local',
        keys: memoryKeyStore(),
        results: {
          exists: id => results.has(id),
          async load(id) {
            return results.get(id) ?? assert.fail();
          },
          save(result) {
            const id = JSON.stringify(result);
            results.set(id, result);
            return id;
          },
        },
      };
      const keys = keysOf(records, preimages);
      for (const [{ results: made }, key] of keys) {
        for (const { layers, createdAt } of made) {
          const record = saveResult(local, key, snapshotRef(layers.map(layer => layer.digest)), createdAt);
          assert(record !== undefined);
          key.record = record;
        }
      }
      const used = new Set(records.flatMap(({ inputs }) => inputs.flat()).map(input => input.record));
      const targets = records.filter(record => !used.has(record)).map(record => keys.get(record) ?? assert.fail());
      const exported = await collectRecords(
        targets,
        { mode: name.endsWith('min') ? 'min' : 'max', compression: { type: 'gzip', force: false } },
        {
          layerBlobs: {
            async blobs({ layers }) {
              return layers.map(id => {
                const { descriptor, diffId } = blobs.get(id as `sha256:${string}`) ?? assert.fail();
                return { descriptor, diffID: diffId, createdAt: 0n };
              });
            },
            fetch: () => assert.fail('no blob is needed'),
          },
          content: { read: () => assert.fail('no blob is needed') },
        },
        signal,
      );
      assert.deepEqual(JSON.parse(JSON.stringify(cacheConfig(exported))), JSON.parse(source.text));
    });
  }
});
