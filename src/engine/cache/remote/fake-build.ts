/** A build that was done, for tests of caches: steps in chains, with layers of a few bytes. */
import assert from 'node:assert/strict';
import { digestOf } from '../../../wire/oci/digest.ts';
import { OCI_LAYER } from '../../../wire/oci/media-types.ts';
import { createRegistryClient, type RegistryClient } from '../../../wire/registry/client.ts';
import type { LayerBlobSource } from '../../exporter/image-writer.ts';
import { type Ref, snapshotRef } from '../../ops/ref.ts';
import type { LocalCache } from '../../solver/cache.ts';
import { type CacheKey, rootKey } from '../../solver/key.ts';
import { saveResult } from '../../solver/lookup.ts';
import type { LazyLayer } from '../../source/layer-port.ts';
import type { BuildEvent, KeyPart } from '../../status/event.ts';
import { memoryKeyStore } from '../memory-key-store.ts';
import type { ObjectHttp } from './object-http.ts';
import type { CacheExportDeps, CacheImportDeps } from './port.ts';

const noParts: readonly KeyPart[] = [];

/** A machine with a local cache. */
export interface FakeMachine {
  readonly deps: CacheExportDeps & CacheImportDeps;
  readonly events: BuildEvent[];
  readonly local: LocalCache<Ref>;
  /** Layers that came from imports, by id. */
  readonly lazy: Map<string, LazyLayer>;
  /** The blobs that are here, by digest. */
  readonly blobs: Map<string, Uint8Array>;
  /** Runs a step: its key, with a result of the layers of its first input and one more. */
  step(name: string, inputs: readonly CacheKey<Ref>[], content?: string): CacheKey<Ref>;
  /** The key of a step, not run: for looking it up. */
  key(name: string, inputs: readonly CacheKey<Ref>[], content?: string): CacheKey<Ref>;
  root(name: string): CacheKey<Ref>;
  /** Messages of warnings and of failed vertices. */
  complaints(): string[];
  /** Ids of the statuses that were shown, each once. */
  statuses(): string[];
}

export function fakeMachine(registry?: RegistryClient, http?: ObjectHttp): FakeMachine {
  const events: BuildEvent[] = [];
  const results = new Map<string, Ref>();
  const blobs = new Map<string, Uint8Array>();
  const lazy = new Map<string, LazyLayer>();
  let clock = 1_700_000_000_000_000_000n;
  const now = () => {
    clock += 1_000_000n;
    return clock;
  };
  const local: LocalCache<Ref> = {
    id: 'local',
    keys: memoryKeyStore(),
    results: {
      exists: id => results.has(id),
      load: async id => results.get(id) ?? assert.fail(`no result ${id}`),
      save(result) {
        const id = JSON.stringify(result);
        results.set(id, result);
        return id;
      },
    },
  };
  const read = async function* (digest: string, { start = 0 } = {}) {
    yield (blobs.get(digest) ?? assert.fail(`no blob ${digest}`)).subarray(start);
  };
  const layerBlobs: LayerBlobSource = {
    async blobs(ref) {
      return ref.layers.map(id => {
        const { descriptor, diffId } = lazy.get(id) ?? {};
        if (descriptor !== undefined && diffId !== undefined) return { descriptor, diffID: diffId, createdAt: 0n };
        const bytes = Buffer.from(id);
        const digest = digestOf(bytes);
        blobs.set(digest, bytes);
        const createdAt = BigInt(bytes.length) * 1_000_000_000n;
        return { descriptor: { mediaType: OCI_LAYER, digest, size: bytes.length }, diffID: digest, createdAt };
      });
    },
    async fetch(_, digest) {
      const layer = [...lazy.values()].find(({ descriptor }) => descriptor.digest === digest);
      if (layer === undefined || blobs.has(digest)) return;
      const chunks: Uint8Array[] = [];
      for await (const chunk of layer.fetch(AbortSignal.timeout(10_000))) chunks.push(chunk);
      blobs.set(digest, Buffer.concat(chunks));
    },
  };

  function key(name: string, inputs: readonly CacheKey<Ref>[], content?: string): CacheKey<Ref> {
    const links = inputs.map((input, index) => [
      { key: input, selector: '' },
      ...(index === inputs.length - 1 && content !== undefined
        ? [{ key: rootKey<Ref>(digestOf(content), -1, () => noParts), selector: '' }]
        : []),
    ]);
    return { digest: digestOf(name), output: 0, inputs: links, ids: new Map(), parts: () => noParts, records: [] };
  }

  return {
    events,
    local,
    lazy,
    blobs,
    key,
    deps: {
      emit: event => events.push(event),
      now,
      registryFor: () => registry ?? assert.fail('no registry is needed'),
      content: { read, has: (digest, size) => blobs.get(digest)?.length === size },
      layerBlobs,
      layers: {
        withdraw: () => {},
        addLazy(layer, parents = []) {
          const id = digestOf([...parents, layer.diffId].join());
          lazy.set(id, layer);
          return id;
        },
      },
      repositoryOf: () => undefined,
      http: http ?? { send: () => assert.fail('no object store is needed'), async [Symbol.asyncDispose]() {} },
      env: {},
    },
    root: name => rootKey(digestOf(name), 0, () => noParts),
    step(name, inputs, content) {
      const made = key(name, inputs, content);
      const below = inputs[0]?.record;
      const ref = below === undefined ? undefined : results.get(below.resultId);
      const layers = ref?.kind === 'snapshot' ? ref.layers : [];
      const record = saveResult(local, made, snapshotRef([...layers, `layer of ${name}`]), now());
      return record === undefined ? made : Object.assign(made, { record });
    },
    complaints: () =>
      events.flatMap(event => {
        if (event.kind === 'warning') return [Buffer.from(event.short).toString()];
        return event.kind === 'vertex' && event.error !== undefined ? [event.error] : [];
      }),
    statuses: () => [...new Set(events.flatMap(event => (event.kind === 'status' ? [event.id] : [])))],
  };
}

/** A registry client that notes what it sends. */
export function countingRegistry(): { readonly registry: RegistryClient; readonly sent: string[] } {
  const registry = createRegistryClient({ retry: { attempts: 1 } });
  const sent: string[] = [];
  return {
    sent,
    registry: {
      ...registry,
      async pushBlob(reference, source, options, signal) {
        const outcome = await registry.pushBlob(reference, source, options, signal);
        if (outcome !== 'exists') sent.push(source.descriptor.digest);
        return outcome;
      },
      async pushManifest(reference, bytes, mediaType, signal) {
        sent.push(mediaType);
        return registry.pushManifest(reference, bytes, mediaType, signal);
      },
    },
  };
}
