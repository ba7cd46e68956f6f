import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openDatabase } from '../../store/database.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { type CacheConfig, cacheConfig } from '../cache/cache-config.ts';
import { importedCache } from '../cache/imported-cache.ts';
import { memoryKeyStore } from '../cache/memory-key-store.ts';
import { readRecords } from '../cache/read-records.ts';
import { sqliteKeyStore } from '../cache/sqlite-key-store.ts';
import type { KeyPart } from '../status/event.ts';
import type { KeyStore, LocalCache } from './cache.ts';
import { walkForExport } from './export-walk.ts';
import { recordDigest } from './key.ts';
import type { Edge, Op, Vertex } from './op.ts';
import { recordGraph } from './record-graph.ts';
import { createSolver } from './solver.ts';

interface VectorVertex {
  id: string;
  keys: string[];
  deps?: { vertex: string; output?: number; selector?: string; content?: string }[];
  outputs?: number;
  ignoreCache?: boolean;
  hasBlobs?: boolean;
}
interface VectorKey {
  id: string;
  incoming?: { from: string; input: number; output: number; digest: string; selector?: string }[];
  results?: string[];
}
interface VectorBuild {
  name?: string;
  note?: string;
  vertices: VectorVertex[];
  target: string;
  output?: number;
  newStore?: boolean;
  import?: string;
  expect: {
    ran: string[];
    contentComputed: string[];
    result: string;
    store: VectorKey[];
    export: { min: CacheConfig; max: CacheConfig };
  };
}
const scenarios: { name: string; builds: VectorBuild[] }[] = JSON.parse(
  readFileSync(new URL('../../../test/vectors/cache-keys/store.json', import.meta.url), 'utf8'),
);
const noParts: KeyPart[] = [];
const root = mkdtempSync(join(tmpdir(), 'outcrop-solver-'));
after(() => rmSync(root, { recursive: true }));

interface FakeResult {
  readonly name: string;
  readonly layers: readonly { readonly name: string; blob: boolean }[];
}

function seed(text: string): string {
  return text.startsWith('random:') ? `random:${digestOf(text.slice(7)).slice(7)}` : digestOf(text);
}

interface Key {
  readonly id: string;
  readonly incoming: readonly { from: string; input: number; selector: string; record: string }[];
  readonly results: readonly string[];
}

function storeOf(keys: Keys): Key[] {
  return [...keys.ids()].map(id => ({
    id,
    incoming: keys.backlinks(id).map(({ from, input, selector, record }) => ({ from, input, selector, record })),
    results: keys
      .results(id)
      .map(result => result.id)
      .sort(),
  }));
}

function expectedStore(keys: readonly VectorKey[]): Key[] {
  return keys.map(({ id, incoming = [], results = [] }) => ({
    id,
    incoming: incoming.map(({ from, input, output, digest, selector = '' }) => ({
      from,
      input,
      selector,
      record: recordDigest(digest, output),
    })),
    results,
  }));
}

/** The store with random ids written as what leads to them, sorted. */
function canonical(keys: readonly Key[]): string[] {
  const byId = new Map(keys.map(key => [key.id, key]));
  const name = (id: string): string => {
    if (id.includes(':')) return id;
    const incoming = byId.get(id)?.incoming.map(link => JSON.stringify({ ...link, from: name(link.from) }));
    return JSON.stringify(incoming?.sort());
  };
  return keys.map(({ id, results }) => `${name(id)} ${results}`).sort();
}

function withoutTimes({ layers, records }: CacheConfig) {
  return {
    ...(layers === undefined ? {} : { layers }),
    ...(records === undefined
      ? {}
      : {
          records: records.map(({ layers: results, ...record }) => ({
            ...(results === undefined ? {} : { layers: results.map(({ layer }) => ({ layer, createdAt: 'T' })) }),
            ...record,
          })),
        }),
  };
}

function recordsOf(config: CacheConfig) {
  const graph = recordGraph<{ digest: string }>();
  readRecords(graph, config, digest => ({ digest }));
  return graph.records();
}

type Keys = KeyStore & { ids(): Iterable<string> };

function inMemory(): Keys {
  return memoryKeyStore();
}

function inDatabase(): Keys {
  return sqliteKeyStore(openDatabase(mkdtempSync(join(root, 'store-'))));
}

for (const newStore of [inMemory, inDatabase])
  for (const scenario of scenarios) {
    test(`store.json ${newStore.name}: ${scenario.name}`, async t => {
      let keys = newStore();
      let results = new Map<string, FakeResult>();
      const runs = new Map<string, number>();
      let clock = 0n;
      const exported = new Map<string, CacheConfig>();
      const loads = new Map<string, number>();
      const layerNames = new Map<string, string>();
      for (const build of scenario.builds) {
        if (build.newStore) {
          keys = newStore();
          results = new Map();
        }
        const cache: LocalCache<FakeResult> = {
          id: 'local',
          keys,
          results: {
            exists: id => results.has(id),
            async load(id) {
              const result = results.get(id);
              if (result === undefined) throw new Error(`no result ${id}`);
              return result;
            },
            save(result) {
              results.set(result.name, result);
              return result.name;
            },
          },
        };
        const ran: string[] = [];
        const contentComputed: string[] = [];
        const vertices = new Map<string, Vertex>();
        const byDigest = new Map<string, VectorVertex>();
        for (const vertex of build.vertices) {
          const digest = digestOf(JSON.stringify(vertex));
          byDigest.set(digest, vertex);
          vertices.set(vertex.id, {
            digest,
            name: vertex.id,
            ignoreCache: vertex.ignoreCache ?? false,
            inputs: (vertex.deps ?? []).map((dep): Edge => {
              const input = vertices.get(dep.vertex);
              assert(input);
              return { vertex: input, output: dep.output ?? 0 };
            }),
          });
        }
        const solver = createSolver<FakeResult>({
          cache,
          parallelism: 4,
          now: () => ++clock,
          resolveOp(of): Op<FakeResult> {
            const vertex = byDigest.get(of.digest);
            assert(vertex);
            return {
              async cacheMap(index) {
                return {
                  done: index === vertex.keys.length - 1,
                  map: {
                    digest: seed(vertex.keys[index] ?? ''),
                    parts: noParts,
                    deps: (vertex.deps ?? []).map((dep, input) => ({
                      ...(dep.selector === undefined ? {} : { selector: digestOf(dep.selector) }),
                      ...(dep.content === undefined
                        ? {}
                        : {
                            contentDigest: async () => {
                              contentComputed.push(`${vertex.id} input ${input}`);
                              return { digest: digestOf(dep.content ?? ''), parts: noParts };
                            },
                          }),
                      preprocess: async () => {},
                    })),
                  },
                };
              },
              async exec(inputs) {
                ran.push(vertex.id);
                const run = (runs.get(vertex.id) ?? 0) + 1;
                runs.set(vertex.id, run);
                return Array.from({ length: vertex.outputs ?? 1 }, (_, output) => {
                  const name = `${vertex.id}#${run}${vertex.outputs === undefined ? '' : `.${output}`}`;
                  layerNames.set(digestOf(`layer of ${name}`), name);
                  return { name, layers: [...(inputs[0]?.layers ?? []), { name, blob: vertex.hasBlobs ?? false }] };
                });
              },
            };
          },
        });
        const target = vertices.get(build.target);
        assert(target);
        const config = build.import === undefined ? undefined : exported.get(build.import);
        const imports =
          config === undefined
            ? []
            : [
                importedCache<FakeResult, { digest: string }>({
                  id: 'import',
                  records: recordsOf(config),
                  async result(layers) {
                    const names = layers.map(layer => layerNames.get(layer.digest) ?? '');
                    const count = (loads.get(names.at(-1) ?? '') ?? 0) + 1;
                    loads.set(names.at(-1) ?? '', count);
                    return {
                      name: `imported::${names.at(-1)}!${count}`,
                      layers: names.map(name => ({ name, blob: true })),
                    };
                  },
                }),
              ];
        await using job = solver.openJob({
          emit: () => {},
          imports: imports.map(one => ({ id: one.id, cache: Promise.resolve(one) })),
        });
        const solved = await job.build({ vertex: target, output: build.output ?? 0 });
        assert.deepEqual(ran.sort(), build.expect.ran, 'ran');
        assert.deepEqual(contentComputed.sort(), build.expect.contentComputed, 'content');
        assert.equal(solved.result.name, build.expect.result);
        assert.deepEqual(canonical(storeOf(keys)), canonical(expectedStore(build.expect.store)), 'store');
        for (const mode of ['min', 'max'] as const) {
          const records = await walkForExport(solved.keys, {
            mode,
            async layers({ cache: from, resultId }, make) {
              if (from !== cache) return imports[0]?.layers(resultId);
              const result = results.get(resultId);
              if (result === undefined) return undefined;
              if (!make && result.layers.some(layer => !layer.blob)) return undefined;
              for (const layer of result.layers) layer.blob = true;
              return result.layers.map(({ name }) => ({ digest: digestOf(`layer of ${name}`) }));
            },
          });
          const config: CacheConfig = JSON.parse(JSON.stringify(cacheConfig(records)));
          assert.deepEqual(withoutTimes(config), build.expect.export[mode], `export ${mode}`);
          if (mode === 'max' && build.name !== undefined) exported.set(build.name, config);
        }
      }
      t.diagnostic(`${scenario.builds.length} builds`);
    });
  }
