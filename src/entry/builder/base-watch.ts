import { setTimeout as delay } from 'node:timers/promises';
import type { RemoteImport } from '../../engine/cache/remote/import.ts';
import type { CacheBase } from '../../engine/cache/remote/port.ts';
import { inVertex } from '../../engine/cache/remote/progress.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { parseReference } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import type { Engine } from './engine.ts';

/** How long a registry is asked what the names of base images mean, in milliseconds. */
const PATIENCE = 5000;

/** Sees which caches a build takes results from, and warns of those whose base images' names mean other images now. */
export interface BaseWatch {
  readonly sink: EventSink;
  /** Warns of what was found; what nobody answers in time is passed over. */
  finish(signal: AbortSignal): Promise<void>;
}

/**
 * @param imports - the caches of the build
 * @param found - what this build has found names to mean
 */
export function watchBases(
  engine: Pick<Engine, 'registry' | 'now'>,
  emit: EventSink,
  imports: () => readonly RemoteImport[],
  found: readonly CacheBase[],
): BaseWatch {
  const hits = new Map<string, number>();
  return {
    sink(event) {
      if (event.kind === 'outcome' && event.outcome === 'hit' && event.cache !== undefined && event.cache !== 'local') {
        hits.set(event.cache, (hits.get(event.cache) ?? 0) + 1);
      }
      emit(event);
    },
    async finish(signal) {
      for (const { id, about } of imports()) {
        const count = hits.get(id);
        const bases = count === undefined ? [] : ((await about)?.bases ?? []);
        const moved = await movedBases(bases, found, engine.registry, signal);
        if (count === undefined || moved.length === 0) continue;
        const steps = count === 1 ? '1 step was' : `${count} steps were`;
        await inVertex(`checking base images of ${id}`, { emit, now: engine.now }, async vertex => {
          for (const base of moved) vertex.warn(`${steps} taken from ${id}, ${movedText(base)}`);
        });
      }
    },
  };
}

/** A base image whose name means another image now. */
export interface MovedBase extends CacheBase {
  /** What the name means now. */
  readonly current: string;
}

/** Which of the base images of a cache are named otherwise now. Names that are pinned never move. */
export async function movedBases(
  bases: readonly CacheBase[],
  found: readonly CacheBase[],
  registry: RegistryClient,
  signal: AbortSignal,
): Promise<MovedBase[]> {
  const ended = new AbortController();
  const inner = AbortSignal.any([signal, ended.signal]);
  // The latest is what the last export stood on; what a merged cache stood on before may be older.
  const latest = new Map(bases.filter(({ name }) => !name.includes('@')).map(base => [base.name, base]));
  const now = async (name: string): Promise<string | undefined> => {
    const known = found.find(base => base.name === name);
    if (known !== undefined && !known.isPinned) return known.digest;
    const asked = registry.resolve(parseReference(name), inner).then(({ digest }) => digest);
    const late = delay(PATIENCE, undefined, { signal: inner });
    return Promise.race([asked, late]).catch(() => undefined);
  };
  try {
    const all = await Promise.all(
      [...latest.values()].map(async base => ({ ...base, current: (await now(base.name)) ?? base.digest })),
    );
    signal.throwIfAborted();
    return all.filter(({ digest, current }) => digest !== current);
  } finally {
    ended.abort();
  }
}

/** What has become of a base image, in words. */
function movedText({ name, digest, resolvedAt, current }: MovedBase): string {
  const day = new Date(Number(resolvedAt / 1_000_000n)).toISOString();
  return `which was made on ${name} as it was at ${day}, ${digest}: the name means ${current} now`;
}
