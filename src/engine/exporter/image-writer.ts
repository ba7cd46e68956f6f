import type { ContentStore } from '../../store/content/content-store.ts';
import {
  ATTESTATION_MANIFEST,
  PREDICATE_TYPE,
  REFERENCE_DIGEST,
  REFERENCE_TYPE,
} from '../../wire/oci/attestation-annotations.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { diffIdsOf, parseImageConfig } from '../../wire/oci/image-config.ts';
import type { SnapshotRef } from '../ops/ref.ts';
import type { Timestamp } from '../status/event.ts';
import { type Annotations, readAnnotations } from './annotations.ts';
import {
  attestationConfig,
  attestationManifest,
  EMPTY_CONFIG,
  IN_TOTO,
  imageSubjects,
  statement,
} from './attestation.ts';
import { type CompressionOptions, ExporterAttributeError, type ImageAttributes } from './attributes.ts';
import { SPDX_PREDICATE } from './bundle.ts';
import type { ExportProgress } from './export-progress.ts';
import { emptyImageConfig, finishImageConfig, isoTime } from './image-config.ts';
import { type Document, documentTypes, imageIndex, imageManifest } from './manifest.ts';
import type { Attestation, BuildOutput, LayerBlob, PlatformResult } from './result.ts';
import { supplementSbom } from './supplement-sbom.ts';

/** How the layers of an image are made into blobs. */
export interface LayerBlobOptions {
  readonly compression: CompressionOptions;
  /** Clamp times to this many seconds in every layer that is not the base image's. */
  readonly rewriteEpoch?: number;
  /** The diffIDs of the base image, bottom first. */
  readonly baseDiffIDs: readonly string[];
  readonly preferNondistributable: boolean;
}

/** Makes blobs of layers; those of a pulled base need not be in the content store. */
export interface LayerBlobSource {
  blobs(ref: SnapshotRef, options: LayerBlobOptions, signal: AbortSignal): Promise<readonly LayerBlob[]>;
  /** Brings a blob of these layers into the content store, if it is not there. */
  fetch(ref: SnapshotRef, blob: Digest, signal: AbortSignal): Promise<void>;
}

/** The layers of images, and what is in them. */
export interface ImageLayers extends LayerBlobSource {
  /**
   * Looks paths up in these layers: the place, from the bottom up, of the topmost one that has a file there; undefined when
   * none has.
   */
  finder(ref: SnapshotRef, signal: AbortSignal): Promise<(path: string) => number | undefined>;
}

export interface ImageWriterContext {
  readonly content: ContentStore;
  readonly layers: ImageLayers;
  readonly progress: ExportProgress;
  readonly now: () => Timestamp;
}

/** An image that lies in the content store. */
export interface WrittenImage {
  /** The manifest, or the index when there is one; with its platform and the annotations of `index-descriptor`. */
  readonly descriptor: Descriptor;
  /** The config of an image with a single manifest. */
  readonly config?: Descriptor;
  readonly isIndex: boolean;
  /** Layers, configs and documents below `descriptor`, children before parents, each once. */
  readonly blobs: readonly Descriptor[];
  /** The layers of a single manifest, bottom first. */
  readonly layers: readonly Descriptor[];
  /** Seconds. */
  readonly epoch?: number;
  /** Brings a layer's blob into the content store if it is still elsewhere: that of a base that nothing read. */
  readonly fetch: (blob: Digest, signal: AbortSignal) => Promise<void>;
}

/**
 * Writes the config, manifest and, where there are several platforms or attestations, the index of a build's result into
 * the content store (exporters facts, 2 and 3).
 * @throws ExporterAttributeError when attributes and result do not go together.
 */
export async function writeImage(
  output: BuildOutput,
  attributes: ImageAttributes,
  context: ImageWriterContext,
  signal: AbortSignal,
): Promise<WrittenImage> {
  const epoch = attributes.epoch === undefined ? output.epoch : (attributes.epoch ?? undefined);
  const blobs = new Map<string, Descriptor>();
  const keep = (descriptor: Descriptor) => void blobs.set(descriptor.digest, descriptor);
  const put = async ({ mediaType, text }: Document): Promise<Descriptor> => {
    const bytes = Buffer.from(text);
    // With its digest, so that what is there already is not written again.
    const { digest, size } = await context.content.write(
      bytes,
      { digest: digestOf(bytes), size: bytes.length },
      signal,
    );
    const descriptor = { mediaType, digest, size };
    keep(descriptor);
    return descriptor;
  };
  const attestations = output.platforms.map(platform => chosenAttestations(platform, attributes));
  const layerLists = await context.progress.step('exporting layers', () =>
    Promise.all(output.platforms.map(platform => layersOf(platform, attributes, epoch, context.layers, signal))),
  );
  const attested = attestations.some((list, index) => list.length > 0 && (layerLists[index]?.length ?? 0) > 0);
  const isIndex = output.multiPlatform || output.platforms.length > 1 || attested;
  if (attested && !attributes.ociMediaTypes)
    throw new ExporterAttributeError('cannot export attestations with "oci-mediatypes=false"');
  const annotations = readAnnotations(
    { ...output.annotations, ...attributes.annotations },
    output.platforms.map(platform => platform.id),
    isIndex,
  );
  const images: { descriptor: Descriptor; config: Descriptor; layers: readonly Descriptor[] }[] = [];
  for (const [index, platform] of output.platforms.entries()) {
    const layers = layerLists[index] ?? [];
    for (const layer of layers) keep(layer.descriptor);
    images.push(await writePlatform(platform, layers, attributes, annotations, epoch, context, put, signal));
  }
  const fetch: WrittenImage['fetch'] = async (blob, inner) => {
    if (context.content.has(blob)) return;
    for (const { ref } of output.platforms) if (ref.kind === 'snapshot') await context.layers.fetch(ref, blob, inner);
  };
  const first = images[0];
  if (!first) throw new ExporterAttributeError('the build has no result to export');
  if (!isIndex) {
    const { descriptor, config, layers } = first;
    return withEpoch({ descriptor, config, isIndex, blobs: [...blobs.values()], layers, fetch }, epoch);
  }
  const attestationManifests: Descriptor[] = [];
  for (const [index, platform] of output.platforms.entries()) {
    const image = images[index];
    const chosen = attestations[index] ?? [];
    if (!image || chosen.length === 0) continue;
    attestationManifests.push(await writeAttestations(image, platform, chosen, attributes, context, put, signal));
  }
  const manifests = images.map(({ descriptor }, index) => {
    const own = annotations.manifestDescriptor(output.platforms[index]?.id ?? '');
    return Object.keys(own).length > 0 ? { ...descriptor, annotations: own } : descriptor;
  });
  const document = imageIndex([...manifests, ...attestationManifests], attributes.ociMediaTypes, annotations.index);
  const descriptor = await context.progress.step(`exporting manifest list ${digestOf(document.text)}`, () =>
    put(document),
  );
  const withAnnotations =
    Object.keys(annotations.indexDescriptor).length > 0
      ? { ...descriptor, annotations: annotations.indexDescriptor }
      : descriptor;
  return withEpoch({ descriptor: withAnnotations, isIndex, blobs: [...blobs.values()], layers: [], fetch }, epoch);
}

function withEpoch(image: WrittenImage, epoch: number | undefined): WrittenImage {
  return epoch === undefined ? image : { ...image, epoch };
}

/**
 * The annotation `org.opencontainers.image.created` that archives carry: the epoch, or now, in whole seconds; none for an
 * image that brings its own.
 */
export function createdAnnotation(image: WrittenImage, now: Timestamp): Record<string, string> {
  if (image.descriptor.annotations?.['org.opencontainers.image.created'] !== undefined) return {};
  return { 'org.opencontainers.image.created': isoTime(image.epoch ?? Number(now / 1_000_000_000n)) };
}

async function layersOf(
  { ref, baseConfig }: PlatformResult,
  attributes: ImageAttributes,
  epoch: number | undefined,
  source: LayerBlobSource,
  signal: AbortSignal,
): Promise<readonly LayerBlob[]> {
  if (ref.kind !== 'snapshot')
    throw new ExporterAttributeError('a build context is no image: the result must come from a step');
  if (ref.layers.length === 0) return [];
  return source.blobs(
    ref,
    {
      compression: attributes.compression,
      ...(attributes.rewriteTimestamp && epoch !== undefined ? { rewriteEpoch: epoch } : {}),
      baseDiffIDs: baseConfig === undefined ? [] : diffIdsOf(parseImageConfig(Buffer.from(baseConfig))),
      preferNondistributable: attributes.preferNondistributable,
    },
    signal,
  );
}

async function writePlatform(
  result: PlatformResult,
  layers: readonly LayerBlob[],
  attributes: ImageAttributes,
  annotations: Annotations,
  epoch: number | undefined,
  context: ImageWriterContext,
  put: (document: Document) => Promise<Descriptor>,
  signal: AbortSignal,
): Promise<{ descriptor: Descriptor; config: Descriptor; layers: readonly Descriptor[] }> {
  const types = documentTypes(attributes.ociMediaTypes);
  const makeInline = result.inlineCache;
  const inlineCache = makeInline
    ? await context.progress.step('preparing layers for inline cache', () => makeInline(layers, signal))
    : undefined;
  const own = attributes.configs.get(result.id) ?? attributes.configs.get('');
  const text = finishImageConfig(own ?? result.config ?? emptyImageConfig(result.platform), {
    layers,
    ...(result.baseConfig === undefined ? {} : { baseConfig: result.baseConfig }),
    ...(epoch === undefined ? {} : { epoch }),
    ...(inlineCache === undefined ? {} : { inlineCache }),
  });
  const config = await put({ mediaType: types.config, text });
  const document = imageManifest(config, layers, attributes.ociMediaTypes, annotations.manifest(result.id));
  const manifest = await context.progress.step(`exporting manifest ${digestOf(document.text)}`, () => put(document));
  await context.progress.step(`exporting config ${config.digest}`, async () => undefined);
  return {
    descriptor: { ...manifest, platform: result.platform },
    config,
    layers: layers.map(layer => layer.descriptor),
  };
}

function chosenAttestations({ attestations }: PlatformResult, attributes: ImageAttributes): readonly Attestation[] {
  return attestations.filter(attestation => !attestation.inlineOnly || attributes.inlineAttestations);
}

async function writeAttestations(
  { descriptor: image, layers }: { readonly descriptor: Descriptor; readonly layers: readonly Descriptor[] },
  platform: PlatformResult,
  attestations: readonly Attestation[],
  attributes: ImageAttributes,
  context: ImageWriterContext,
  put: (document: Document) => Promise<Descriptor>,
  signal: AbortSignal,
): Promise<Descriptor> {
  const supplemented = async (sbom: string): Promise<string> => {
    const { ref } = platform;
    const find = ref.kind === 'snapshot' ? await context.layers.finder(ref, signal) : () => undefined;
    return supplementSbom(sbom, path => layers[find(path) ?? -1]);
  };
  const statements = await Promise.all(
    attestations.map(async ({ predicateType, predicate, subjects, isCore }) => {
      const given = await predicate(signal);
      const text = statement(
        predicateType,
        isCore && predicateType === SPDX_PREDICATE ? await supplemented(given) : given,
        imageSubjects(attributes.names, image, platform.id),
        subjects,
      );
      const descriptor = await put({ mediaType: IN_TOTO, text });
      return { ...descriptor, annotations: { [PREDICATE_TYPE]: predicateType } };
    }),
  );
  const config = attributes.ociArtifact
    ? await put({ mediaType: EMPTY_CONFIG.mediaType, text: '{}' })
    : await put(attestationConfig(statements));
  const document = attestationManifest(image, statements, config, attributes.ociArtifact);
  const manifest = await context.progress.step(`exporting attestation manifest ${digestOf(document.text)}`, () =>
    put(document),
  );
  return {
    ...manifest,
    annotations: { [REFERENCE_DIGEST]: image.digest, [REFERENCE_TYPE]: ATTESTATION_MANIFEST },
    platform: { os: 'unknown', architecture: 'unknown' },
  };
}
