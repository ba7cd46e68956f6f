import type { Digest } from '../../wire/oci/digest.ts';
import type { LayerID } from '../ops/ref.ts';
import type { ContainerConfig } from './container-config.ts';
import { type HistoryEntry, type ImageContent, type LegacyImage, readContent, restoredImage } from './image.ts';
import type { ImageTable } from './image-table.ts';
import { configDigest } from './key.ts';

/** Looks for images of steps. */
export interface CacheProbe {
  /**
   * The image of a step, if it is found. After the first step of a stage that is not, nothing more is looked for in it.
   * @param wanted The config of the step's container.
   * @param config The config of its image.
   */
  probe(parent: LegacyImage | undefined, wanted: ContainerConfig, config: ContainerConfig): LegacyImage | undefined;
  /** Begins a stage. */
  reset(): void;
}

export interface CacheProbeOptions {
  readonly table: ImageTable;
  /** Whether the files of a layer can be had. */
  readonly isReachable: (layer: LayerID) => boolean;
  /** `--no-cache`: nothing is looked for. */
  readonly isOff: boolean;
  /** The images of `--cache-from`; then nothing else is a cache. Undefined without that flag. */
  readonly sources: readonly LegacyImage[] | undefined;
}

/** The cache of the legacy builder: the images that are here (legacy builder facts, 1 and 3). */
export function cacheProbe({ table, isReachable, isOff, sources: given }: CacheProbeOptions): CacheProbe {
  let missed = false;
  let sources = given;

  const isUsable = (image: LegacyImage) => image.layers.every(isReachable);

  function find(
    parent: LegacyImage | undefined,
    wanted: ContainerConfig,
    config: ContainerConfig,
  ): LegacyImage | undefined {
    const own = table.findSteps(parent?.id, configDigest(wanted)).find(isUsable);
    if (sources === undefined) return own;
    if (own !== undefined && sources.some(({ id }) => isAncestor(table, own.id, id))) return own;
    return findInHistories(parent, wanted, config, sources);
  }

  function findInHistories(
    parent: LegacyImage | undefined,
    wanted: ContainerConfig,
    config: ContainerConfig,
    among: readonly LegacyImage[],
  ): LegacyImage | undefined {
    const content = parent && readContent(parent);
    const length = content?.history.length ?? 0;
    for (const target of among) {
      const { history, diffIDs } = readContent(target);
      const entry = history[length];
      if (entry === undefined || !isUsable(target) || !continues({ history, diffIDs }, content)) continue;
      if ((wanted.cmd ?? []).join(' ') !== (entry.created_by ?? '')) continue;
      if (history.length === length + 1) {
        if (parent !== undefined) table.setParent(target.id, parent.id);
        return target;
      }
      const restored = restoredImage(parent, target, config);
      if (restored === undefined) continue;
      table.put(restored, { parent: parent?.id, key: undefined });
      // From here on only this one is followed, so that steps of different images do not mix.
      sources = [target];
      return restored;
    }
    return undefined;
  }

  return {
    probe(parent, wanted, config) {
      if (isOff || missed) return undefined;
      const found = find(parent, wanted, config);
      missed = found === undefined;
      return found;
    },
    reset() {
      missed = false;
    },
  };
}

function isAncestor(table: ImageTable, ancestor: Digest, id: Digest): boolean {
  return table
    .chain(id)
    .slice(1)
    .some(image => image.id === ancestor);
}

/** Whether an image's history goes on where another's ends. */
function continues(
  target: Pick<ImageContent, 'history' | 'diffIDs'>,
  parent: Pick<ImageContent, 'history' | 'diffIDs'> | undefined,
): boolean {
  if (parent === undefined) return true;
  return (
    parent.history.every((entry, index) => sameEntry(entry, target.history[index])) &&
    parent.diffIDs.every((diffID, index) => diffID === target.diffIDs[index])
  );
}

function sameEntry(a: HistoryEntry, b: HistoryEntry | undefined): boolean {
  return (
    b !== undefined &&
    Date.parse(a.created) === Date.parse(b.created) &&
    (a.created_by ?? '') === (b.created_by ?? '') &&
    (a.author ?? '') === (b.author ?? '') &&
    (a.comment ?? '') === (b.comment ?? '') &&
    (a.empty_layer ?? false) === (b.empty_layer ?? false)
  );
}
