import type { KeyStore } from '../solver/cache.ts';

/** Keys to look up in, which stay as they are: what a build finds out on the way is not written down. */
export function readOnlyKeys(keys: KeyStore): KeyStore {
  const { has, targets, backlinks, results, keysOf, newId } = keys;
  return {
    has,
    targets,
    backlinks,
    results,
    keysOf,
    newId,
    addLink: () => undefined,
    addResult: () => undefined,
    dropResult: () => undefined,
    dropLinks: () => undefined,
    transaction: work => work(),
  };
}
