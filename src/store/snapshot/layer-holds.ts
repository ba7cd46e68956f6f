import type { LayerID } from './layer-records.ts';

/** Which layers those who work may still need. */
interface LayerHolds {
  /** These layers were made, asked for or used just now: all who work may need them. */
  note(ids: readonly LayerID[]): void;
  /** Begins work; all layers that are noted from now on are held until it is disposed. */
  hold(): Disposable;
  isHeld(id: LayerID): boolean;
}

/**
 * No holds. Who noted a layer is not asked, for work that several builds share is done in the name of one of them and outlives
 * it: a layer is held as long as anybody works who worked already when it was last noted.
 */
export function layerHolds(): LayerHolds {
  /** The times of work that goes on, oldest first. */
  const working = new Set<number>();
  const noted = new Map<LayerID, number>();
  let time = 0;
  const oldest = (): number => working.values().next().value ?? Number.POSITIVE_INFINITY;
  return {
    note(ids) {
      if (working.size > 0) for (const id of ids) noted.set(id, time);
    },
    hold() {
      time += 1;
      const began = time;
      working.add(began);
      return {
        [Symbol.dispose]() {
          const wasOldest = oldest() === began;
          working.delete(began);
          if (!wasOldest) return;
          const still = oldest();
          for (const [id, at] of noted) if (at < still) noted.delete(id);
        },
      };
    },
    isHeld: id => (noted.get(id) ?? Number.NEGATIVE_INFINITY) >= oldest(),
  };
}
