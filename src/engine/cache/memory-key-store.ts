/** Keys in memory: for imported caches, for session keys, and for tests. */
import { randomBytes } from 'node:crypto';
import type { Backlink, KeyStore, Link, StoredResult } from '../solver/cache.ts';
import { recordDigest } from '../solver/key.ts';

/** A link as exported caches have it: digest and output of the step are hashed into one. */
interface RecordLink {
  readonly input: number;
  readonly selector: string;
  readonly record: string;
}

export interface MemoryKeyStore extends KeyStore {
  addRecordLink(id: string, link: RecordLink, target: string): void;
  /** All keys. */
  ids(): Iterable<string>;
}

interface Key {
  /** Targets by link. */
  readonly links: Map<string, Set<string>>;
  /** Keys that link here, with their links. */
  readonly backlinks: Map<string, Backlink>;
  readonly results: Map<string, StoredResult>;
}

/** A random id of 25 characters of base 36, as BuildKit's ids are. */
export function randomKeyId(): string {
  const number = BigInt(`0x${randomBytes(17).toString('hex')}`);
  return number.toString(36).slice(-25).padStart(25, '0');
}

function textOf({ input, selector, record }: RecordLink): string {
  return `${input} ${record} ${selector}`;
}

function recordLink({ input, output, digest, selector }: Link): RecordLink {
  return { input, selector, record: recordDigest(digest, output) };
}

/** An empty store. Its transactions are not undone. */
export function memoryKeyStore(): MemoryKeyStore {
  const keys = new Map<string, Key>();
  const byResult = new Map<string, Set<string>>();

  function keyOf(id: string): Key {
    let key = keys.get(id);
    if (key === undefined) {
      key = { links: new Map(), backlinks: new Map(), results: new Map() };
      keys.set(id, key);
    }
    return key;
  }

  function addRecordLink(id: string, link: RecordLink, target: string): void {
    const text = textOf(link);
    const { links } = keyOf(id);
    const targets = links.get(text) ?? new Set();
    targets.add(target);
    links.set(text, targets);
    keyOf(target).backlinks.set(`${id} ${text}`, { from: id, ...link });
  }

  /** Removes keys that have neither results nor links from them, upwards. */
  function prune(start: string): void {
    const pending = [start];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      const key = keys.get(id);
      if (key === undefined || key.results.size > 0 || key.links.size > 0) continue;
      keys.delete(id);
      for (const backlink of key.backlinks.values()) {
        const from = keys.get(backlink.from);
        const targets = from?.links.get(textOf(backlink));
        targets?.delete(id);
        if (targets?.size === 0) from?.links.delete(textOf(backlink));
        pending.push(backlink.from);
      }
    }
  }

  return {
    ids: () => keys.keys(),
    has: id => keys.has(id),
    targets(id, link) {
      const key = keys.get(id);
      return key === undefined || key.links.size === 0 ? [] : [...(key.links.get(textOf(recordLink(link))) ?? [])];
    },
    addLink: (id, link, target) => addRecordLink(id, recordLink(link), target),
    addRecordLink,
    backlinks: id => [...(keys.get(id)?.backlinks.values() ?? [])],
    results: id => [...(keys.get(id)?.results.values() ?? [])],
    addResult(id, result) {
      keyOf(id).results.set(result.id, result);
      byResult.set(result.id, (byResult.get(result.id) ?? new Set()).add(id));
    },
    dropResult(resultId) {
      const ids = byResult.get(resultId);
      byResult.delete(resultId);
      for (const id of ids ?? []) {
        keys.get(id)?.results.delete(resultId);
        prune(id);
      }
    },
    dropLinks(id) {
      const links = keys.get(id)?.links;
      const targets = new Set([...(links?.values() ?? [])].flatMap(ids => [...ids]));
      links?.clear();
      for (const target of targets) {
        for (const [text, { from }] of keys.get(target)?.backlinks ?? []) {
          if (from === id) keys.get(target)?.backlinks.delete(text);
        }
        prune(target);
      }
      prune(id);
    },
    keysOf: resultId => [...(byResult.get(resultId) ?? [])],
    newId: randomKeyId,
    transaction: work => work(),
  };
}
