/** Looking up and saving keys, over the local cache and all imported ones (cache-keys: query and save, which record). */
import type { KeyPart, Timestamp } from '../status/event.ts';
import type { Cache, KeyStore, LocalCache } from './cache.ts';
import { type CacheKey, type CacheRecord, idIn, type KeyLink, linkOf, recordDigest } from './key.ts';

/** The caches that a vertex may use. */
export interface Caches<R> {
  readonly local: LocalCache<R>;
  readonly imports: readonly Cache<R>[];
}

/** A key that a step may have, by its id in each store where it was found. */
export type Candidates = Map<string, Map<KeyStore, string>>;

function all<R>(caches: Caches<R>): Cache<R>[] {
  return [caches.local, ...caches.imports];
}

/** The ids in each store where the root key of a digest exists. */
export function findRoot<R>(caches: Caches<R>, digest: string, output: number): Map<KeyStore, string> {
  const id = recordDigest(digest, output);
  const found = new Map<KeyStore, string>();
  for (const { keys } of all(caches)) if (keys.has(id)) found.set(keys, id);
  return found;
}

/**
 * The keys of a step that its input number `input` leads to through any of `links`, into `found`. In each store, a target that one of the
 * links has and another lacks is linked from that one too: next time the other is enough.
 */
export function findTargets<R>(
  caches: Caches<R>,
  links: readonly KeyLink<R>[],
  input: number,
  step: { readonly digest: string; readonly output: number },
  found: Candidates,
): void {
  for (const { keys } of all(caches)) {
    const [only, ...more] = links;
    if (only === undefined) return;
    if (more.length === 0) {
      for (const id of keys.targets(idIn(keys, only.key), linkOf(step, input, only.selector))) note(found, id, keys);
      continue;
    }
    const reached = links.map(link => new Set(keys.targets(idIn(keys, link.key), linkOf(step, input, link.selector))));
    const targets = new Set(reached.flatMap(ids => [...ids]));
    for (const id of targets) note(found, id, keys);
    if (reached.some(ids => ids.size < targets.size)) {
      keys.transaction(() => {
        for (const [index, link] of links.entries()) {
          for (const id of targets) if (!reached[index]?.has(id)) addLink(keys, step, input, link, id);
        }
      });
    }
  }
}

/**
 * Once the content of an input is known: whatever its content leads to is linked from its definition keys too, so that
 * next time they are enough. Not the other way round, as BuildKit does: what a definition key leads to may have been made
 * of other content, when the input was forced to run and made something else.
 */
export function linkToSameContent<R>(
  caches: Caches<R>,
  links: readonly KeyLink<R>[],
  content: CacheKey<R>,
  step: { readonly input: number; readonly digest: string; readonly output: number },
): void {
  const definitions = links.filter(({ key }) => key !== content);
  for (const { keys } of all(caches)) {
    const targets = keys.targets(idIn(keys, content), linkOf(step, step.input, ''));
    if (targets.length === 0) continue;
    const missing = definitions.flatMap(link => {
      const known = keys.targets(idIn(keys, link.key), linkOf(step, step.input, link.selector));
      return targets.filter(id => !known.includes(id)).map(id => ({ link, id }));
    });
    if (missing.length === 0) continue;
    keys.transaction(() => {
      for (const { link, id } of missing) addLink(keys, step, step.input, link, id);
    });
  }
}

function note(found: Candidates, id: string, store: KeyStore): void {
  const ids = found.get(id);
  if (ids === undefined) found.set(id, new Map([[store, id]]));
  else ids.set(store, id);
}

/** The results under a key that still exist, in every cache that knows the key, best first. Those that are gone are forgotten. */
export function findRecords<R>(caches: Caches<R>, key: CacheKey<R>): CacheRecord<R>[] {
  const records: CacheRecord<R>[] = [];
  for (const cache of caches.imports.length === 0 ? [caches.local] : all(caches)) {
    const id = key.ids.get(cache.keys);
    if (id === undefined) continue;
    for (const result of cache.keys.results(id)) {
      if (cache.results.exists(result.id)) {
        records.push({ cache, key, resultId: result.id, createdAt: result.createdAt });
      } else {
        cache.keys.dropResult(result.id);
      }
    }
  }
  return records.length < 2 ? records : byPreference(records, caches.local);
}

/** Which of several results to take first: the newest; of equals one of an imported cache. */
export function byPreference<R>(records: Iterable<CacheRecord<R>>, local: LocalCache<R>): CacheRecord<R>[] {
  return [...records].sort((a, b) =>
    a.createdAt === b.createdAt
      ? Number(a.cache === local) - Number(b.cache === local)
      : Number(b.createdAt > a.createdAt) - Number(a.createdAt > b.createdAt),
  );
}

/**
 * Loads a result. One of an imported cache is copied into the local cache, with those that came along for keys below
 * it.
 *
 * @throws what the cache throws when the result is unusable.
 */
export async function loadRecord<R>(caches: Caches<R>, record: CacheRecord<R>, signal: AbortSignal): Promise<R> {
  const { cache } = record;
  if (cache === caches.local || cache.results.loadWithParents === undefined) {
    return cache.results.load(record.resultId, signal);
  }
  const loaded = await cache.results.loadWithParents(record.resultId, signal);
  const own = loaded.get(idIn(cache.keys, record.key));
  if (own === undefined) throw new Error(`the result ${record.resultId} is not in the cache ${cache.id} any more`);
  caches.local.keys.transaction(() => {
    for (const key of withInputs(record.key)) {
      const id = idIn(cache.keys, key);
      const result = loaded.get(id);
      const stored = key === record.key ? record : cache.keys.results(id)[0];
      if (result !== undefined && stored !== undefined) saveResult(caches.local, key, result, stored.createdAt);
    }
  });
  return own;
}

/** A key and all below it, each once. */
function withInputs<R>(key: CacheKey<R>): Set<CacheKey<R>> {
  const keys = new Set([key]);
  for (const { inputs } of keys) for (const links of inputs) for (const link of links) keys.add(link.key);
  return keys;
}

/**
 * Saves a result under a key: the key's id is found or made, and every link that is missing, down to the roots. A
 * result that cannot be kept leaves only its links. A step that was `forced` to run may have made something else than before: what
 * stands on it by definition was made of that, and is not found any more; what its content leads to still is.
 */
export function saveResult<R>(
  local: LocalCache<R>,
  key: CacheKey<R>,
  result: R,
  createdAt: Timestamp,
  forced = false,
): CacheRecord<R> | undefined {
  const resultId = local.results.save(result);
  return local.keys.transaction(() => {
    const id = idIn(local.keys, key);
    if (forced) local.keys.dropLinks(id);
    if (resultId !== undefined) local.keys.addResult(id, { id: resultId, createdAt });
    linkInputs(local.keys, key);
    return resultId === undefined ? undefined : { cache: local, key, resultId, createdAt };
  });
}

function linkInputs<R>(store: KeyStore, key: CacheKey<R>): void {
  const pending = [key];
  for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
    const id = idIn(store, top);
    store.saveParts?.(top.digest, top.parts);
    for (const [input, links] of top.inputs.entries()) {
      for (const link of links) {
        const from = idIn(store, link.key);
        if (store.targets(from, linkOf(top, input, link.selector)).includes(id)) continue;
        addLink(store, top, input, link, id);
        pending.push(link.key);
      }
    }
  }
}

function addLink<R>(
  store: KeyStore,
  step: { readonly digest: string; readonly output: number },
  input: number,
  link: KeyLink<R>,
  target: string,
): void {
  store.addLink(idIn(store, link.key), linkOf(step, input, link.selector), target);
  if (link.key.inputs.length === 0) store.saveParts?.(link.key.digest, link.key.parts);
  const { selectorParts } = link;
  if (selectorParts !== undefined) store.saveParts?.(link.selector, (): readonly KeyPart[] => selectorParts);
}
