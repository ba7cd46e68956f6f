import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { goJson } from '../../wire/oci/go-json.ts';
import { finishImageConfig } from './image-config.ts';
import { rawMembers, sortedObject } from './raw-json.ts';
import type { LayerBlob } from './result.ts';

const VECTORS = new URL('../../../test/vectors/', import.meta.url);

interface ImageCase {
  readonly documents: Record<string, string>;
  readonly buildArgs: { readonly SOURCE_DATE_EPOCH: string };
}

const base = (() => {
  const index = JSON.parse(readFileSync(new URL('base-image/index.json', VECTORS), 'utf8')) as {
    manifests: { digest: string }[];
  };
  const read = (digest: string) => readFileSync(new URL(`base-image/blobs/sha256/${digest.slice(7)}`, VECTORS), 'utf8');
  const manifests = index.manifests.map(({ digest }) => JSON.parse(read(digest)) as { config: { digest: string } });
  return (
    manifests
      .map(({ config }) => read(config.digest))
      .find(text => !text.includes('BASE_ENV') && !text.includes('Labels')) ?? ''
  );
})();

/** The config as the frontend hands it over: without what the exporter fills in. */
function asFrontend(config: string, hasBase: boolean): string {
  const members = rawMembers(config);
  const history = JSON.parse(members.get('history') ?? '[]') as Record<string, unknown>[];
  const baseHistory = hasBase ? (JSON.parse(base) as { history: unknown[] }).history.length : 0;
  members.set(
    'history',
    goJson(history.map((entry, index) => (index < baseHistory ? entry : { ...entry, created: undefined }))),
  );
  members.set('rootfs', '{"type":"layers","diff_ids":null}');
  for (const key of ['created', 'moby.buildkit.cache.v0']) members.delete(key);
  return sortedObject(members);
}

const files = readdirSync(new URL('images/', VECTORS)).filter(name => name.endsWith('.json'));

test(`image configs of ${files.length} recorded images are finished as BuildKit does`, t => {
  let configs = 0;
  for (const file of files) {
    const { documents, buildArgs } = JSON.parse(readFileSync(new URL(`images/${file}`, VECTORS), 'utf8')) as ImageCase;
    for (const text of Object.values(documents).filter(document => document.startsWith('{"architecture":'))) {
      const parsed = JSON.parse(text) as { rootfs: { diff_ids: string[] | null }; 'moby.buildkit.cache.v0'?: string };
      const hasBase = text.includes('ADD rootfs.tar');
      const layers = (parsed.rootfs.diff_ids ?? []).map(
        (diffID): LayerBlob => ({
          descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: 'sha256:0', size: 0 },
          diffID: diffID as `sha256:${string}`,
          createdAt: 1_800_000_000_000_000_001n,
        }),
      );
      const inline = parsed['moby.buildkit.cache.v0'];
      const finished = finishImageConfig(asFrontend(text, hasBase), {
        layers,
        ...(hasBase ? { baseConfig: base } : {}),
        epoch: Number(buildArgs.SOURCE_DATE_EPOCH),
        ...(inline === undefined ? {} : { inlineCache: Buffer.from(inline, 'base64').toString() }),
      });
      assert.equal(finished, text, file);
      configs++;
    }
  }
  t.diagnostic(`${configs} of ${configs} configs`);
});

const layer = (createdAt: bigint): LayerBlob => ({
  descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: 'sha256:0', size: 0 },
  diffID: 'sha256:1',
  createdAt,
});

test('without an epoch, metadata entries take the time of the layer they stand with', () => {
  const history = [
    { created_by: 'ENV A=1', empty_layer: true },
    { created_by: 'COPY a /' },
    { created_by: 'ENV B=1', empty_layer: true },
    { created_by: 'COPY b /' },
  ];
  const config = goJson({ architecture: 'amd64', os: 'linux', history });
  const finished = JSON.parse(
    finishImageConfig(config, { layers: [layer(1_000_000_001n), layer(2_000_000_000n)] }),
  ) as {
    created: string;
    history: { created: string }[];
  };
  const [first, second] = ['1970-01-01T00:00:01.000000001Z', '1970-01-01T00:00:02Z'];
  assert.deepEqual(
    finished.history.map(entry => entry.created),
    [first, first, first, second],
  );
  assert.equal(finished.created, second);
});

test('layers that the history does not know get entries, and surplus entries become empty', () => {
  const config = (history: unknown[]) => goJson({ architecture: 'amd64', os: 'linux', history });
  const more = finishImageConfig(config([]), { layers: [{ ...layer(0n), description: 'run it' }] });
  assert.match(
    more,
    /"history":\[\{"created":"1970-01-01T00:00:00Z","created_by":"run it","comment":"buildkit.exporter.image.v0"\}\]/,
  );
  const fewer = JSON.parse(
    finishImageConfig(config([{ created_by: 'a' }, { created_by: 'b' }]), { layers: [layer(0n)] }),
  ) as {
    history: { empty_layer?: boolean }[];
  };
  assert.deepEqual(
    fewer.history.map(entry => entry.empty_layer ?? false),
    [false, true],
  );
});

test('raw members keep the spelling of values and the order of keys that look like numbers', () => {
  const text = '{ "b" : {"10":1.50,"9":"\\u003c}"} ,"a":[ {"x":"]"} ] , "c":null}';
  assert.deepEqual(
    [...rawMembers(text)],
    [
      ['b', '{"10":1.50,"9":"\\u003c}"}'],
      ['a', '[ {"x":"]"} ]'],
      ['c', 'null'],
    ],
  );
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), value => {
      const members = rawMembers(JSON.stringify(value));
      assert.deepEqual(
        Object.fromEntries([...members].map(([key, raw]) => [key, JSON.parse(raw)])),
        JSON.parse(JSON.stringify(value)),
      );
    }),
  );
});
