import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import {
  isForeignLayerType,
  type LayerCompression,
  layerCompression,
  layerMediaType,
  type MediaTypeFamily,
} from '../../wire/oci/media-types.ts';
import type { BlobCompression, WrittenBlob } from '../content/blob-writer.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { WorkerPool } from '../content/pool.ts';
import type { TaskContext } from '../content/task.ts';
import { sharedWork } from '../shared-work.ts';
import type { LayerDirectories } from './layer-directories.ts';
import type { LayerBlobRecord, LayerID, LayerRecord, LayerRecords } from './layer-records.ts';
import { LayerMissingError, type LayerUnpackQueue } from './unpack-layers.ts';
import { type WriteLayerInput, writeLayer } from './write-layer.ts';

/** How a layer is to be made into a blob. */
export interface LayerBlobOptions {
  readonly compression: {
    readonly type: LayerCompression;
    readonly level?: number;
    /** Also for a layer that came as a blob of another compression. */
    readonly force: boolean;
  };
  readonly family: MediaTypeFamily;
  /** Later times become this one, in seconds (`rewrite-timestamp`); not for layers of a base image. */
  readonly epoch?: number;
}

/** A layer as a blob. It need not be in the content store if it came as one and was never needed. */
export interface LayerBlob {
  readonly descriptor: Descriptor;
  /** Digest of its tar. */
  readonly diffID: Digest;
}

export interface LayerBlobsContext {
  readonly directories: LayerDirectories;
  readonly records: LayerRecords;
  readonly content: ContentStore;
  readonly pool: () => WorkerPool;
  readonly queue: LayerUnpackQueue;
}

/** Layers smaller than this are written here and now: a thread takes longer to be told. */
const SMALL = { bytes: 1 << 20, pieces: 400 };

/** Annotation of a layer whose times were clamped. */
const REWRITTEN = 'buildkit/rewritten-timestamp';

type ToBlob = (id: LayerID, options: LayerBlobOptions, signal: AbortSignal) => Promise<LayerBlob>;

interface Job {
  readonly id: LayerID;
  readonly compression: BlobCompression;
  readonly epoch: number | undefined;
}

/** Makes blobs of layers, each once; what was made is remembered. */
export function layerBlobs(context: LayerBlobsContext): ToBlob {
  const { content, directories, pool, queue, records } = context;

  /** Keyed by text, so that equal jobs are one. */
  const makeOnce = sharedWork<string, LayerBlobRecord>(async (text, signal) => {
    const { id, compression, epoch }: Job = JSON.parse(text);
    const layer = find(id);
    const blob =
      layer.origin === undefined
        ? await write(layer, compression, epoch, signal)
        : await convert(layer, layer.origin, compression, epoch, signal);
    records.addBlob(id, text, blob);
    if (epoch === undefined) records.setDiffID(id, blob.diffID);
    return blob;
  });

  const find = (id: LayerID): LayerRecord => {
    const layer = records.get(id);
    if (layer === undefined) throw new LayerMissingError(id);
    return layer;
  };

  const stack = (layers: readonly LayerID[]): string[] =>
    layers.map(layer => toBytePath(directories.path(layer))).reverse();

  /** From the layer's directory. */
  const write = async (
    layer: LayerRecord,
    compression: BlobCompression,
    epoch: number | undefined,
    signal: AbortSignal,
  ): Promise<LayerBlobRecord> => {
    const { id, parents, diffOf } = layer;
    // The two trees themselves tell more than their difference: which names of a file were there before.
    const whole = diffOf?.every(upper => records.get(upper) !== undefined) === true ? diffOf : undefined;
    await queue.unpack([...new Set([...parents, ...(whole ?? []), id])], signal);
    const output = content.ingestPath();
    const input: WriteLayerInput = {
      upper: whole === undefined ? toBytePath(directories.path(id)) : stack(whole),
      lower: stack(parents),
      output,
      compression,
      ...(epoch === undefined ? {} : { epoch }),
    };
    const small = await writeLayer({ ...input, limit: SMALL }, inlineContext(signal));
    return adopt(output, small ?? (await pool().run('writeLayer', input, signal)));
  };

  /** From the blob that it came as. */
  const convert = async (
    { id }: LayerRecord,
    origin: Descriptor,
    compression: BlobCompression,
    epoch: number | undefined,
    signal: AbortSignal,
  ): Promise<LayerBlobRecord> => {
    await queue.fetch(origin, signal);
    const output = content.ingestPath();
    const input = { blob: content.path(origin.digest), output, compression, ...(epoch === undefined ? {} : { epoch }) };
    const blob = adopt(output, await pool().run('convertLayer', input, signal));
    if (epoch === undefined) records.setDiffID(id, blob.diffID);
    return blob;
  };

  const adopt = (output: string, blob: WrittenBlob | undefined): LayerBlobRecord => {
    if (blob === undefined) throw new Error('a layer without limits was cut off');
    content.adopt(output, blob);
    return { digest: blob.digest, size: blob.size, diffID: blob.diffID };
  };

  const toBlob: ToBlob = async (id, options, signal) => {
    const { compression, family, epoch } = options;
    const layer = find(id);
    const { origin, diffID, blobOf } = layer;
    if (blobOf !== undefined && records.get(blobOf) !== undefined) {
      const blob = await toBlob(blobOf, options, signal);
      if (epoch === undefined && diffID === undefined) records.setDiffID(id, blob.diffID);
      return blob;
    }
    const came = origin === undefined ? undefined : layerCompression(origin.mediaType);
    if (origin !== undefined && diffID !== undefined && epoch === undefined) {
      if (!compression.force || came === compression.type) return { descriptor: origin, diffID };
    }
    const { type, level } = compression;
    const job: Job = {
      id,
      compression: { type, ...(level === undefined || type === 'uncompressed' ? {} : { level }) },
      epoch,
    };
    const text = JSON.stringify(job);
    const known = records.blob(id, text);
    const blob = known !== undefined && content.has(known.digest, known.size) ? known : await makeOnce(text, signal);
    const isForeign = origin !== undefined && isForeignLayerType(origin.mediaType);
    return {
      descriptor: {
        mediaType: layerMediaType(family, type, isForeign),
        digest: blob.digest,
        size: blob.size,
        ...(epoch === undefined ? {} : { annotations: { [REWRITTEN]: String(epoch) } }),
      },
      diffID: blob.diffID,
    };
  };
  return toBlob;
}

function inlineContext(signal: AbortSignal): TaskContext {
  return { signal, throwIfAborted: () => signal.throwIfAborted() };
}
