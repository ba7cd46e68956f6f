import type { LayerStore } from '../../store/snapshot/layer-store.ts';

/** The part of the layer store that sources use. */
export type SourceLayers = Pick<LayerStore, 'prepare' | 'has' | 'offer' | 'addLazy'>;

export type { LazyLayer } from '../../store/snapshot/unpack-layers.ts';
