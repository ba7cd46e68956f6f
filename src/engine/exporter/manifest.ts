import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import { goJson, goJsonIndented } from '../../wire/oci/go-json.ts';
import {
  convertLayerType,
  DOCKER_CONFIG,
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../wire/oci/media-types.ts';
import type { LayerBlob } from './result.ts';

/** Annotations of layers that are for BuildKit's own use and never leave it. */
export const PRIVATE_ANNOTATIONS =
  /^(containerd\.io\/uncompressed$|buildkit\/(createdat|description)$|containerd\.io\/distribution\.source\.)/;

/** A document that is stored as a blob. */
export interface Document {
  readonly mediaType: string;
  readonly text: string;
}

/** The media types of configs, manifests and indexes in a family. */
export function documentTypes(oci: boolean) {
  return oci
    ? { config: OCI_CONFIG, manifest: OCI_MANIFEST, index: OCI_INDEX }
    : { config: DOCKER_CONFIG, manifest: DOCKER_MANIFEST, index: DOCKER_INDEX };
}

/** The manifest of an image. */
export function imageManifest(
  config: Descriptor,
  layers: readonly LayerBlob[],
  oci: boolean,
  annotations: Readonly<Record<string, string>>,
): Document {
  const { manifest: mediaType } = documentTypes(oci);
  const text = goJsonIndented({
    schemaVersion: 2,
    mediaType,
    config: orderedDescriptor(config),
    layers: layers.length === 0 ? null : layers.map(layer => orderedDescriptor(layerDescriptor(layer.descriptor, oci))),
    ...annotationsMember(annotations),
  });
  return { mediaType, text };
}

/** The index over the images of several platforms and their attestations. */
export function imageIndex(
  manifests: readonly Descriptor[],
  oci: boolean,
  annotations: Readonly<Record<string, string>>,
): Document {
  const { index: mediaType } = documentTypes(oci);
  const text = goJsonIndented({
    schemaVersion: 2,
    mediaType,
    manifests: manifests.map(orderedDescriptor),
    ...annotationsMember(annotations),
  });
  return { mediaType, text };
}

/** `index.json` of an OCI layout. */
export function layoutIndex(manifests: readonly Descriptor[]): string {
  return goJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: manifests.map(orderedDescriptor) });
}

/** A layer's descriptor in one family of media types; Docker's carries no annotations. */
function layerDescriptor(descriptor: Descriptor, oci: boolean): Descriptor {
  const { annotations = {}, ...rest } = descriptor;
  const kept = oci ? Object.entries(annotations).filter(([key]) => !PRIVATE_ANNOTATIONS.test(key)) : [];
  return {
    ...rest,
    mediaType: convertLayerType(descriptor.mediaType, oci ? 'oci' : 'docker'),
    ...(kept.length > 0 ? { annotations: Object.fromEntries(kept) } : {}),
  };
}

/** A descriptor with its members in the order in which Go writes them, and its annotations sorted. */
export function orderedDescriptor(descriptor: Descriptor & { readonly data?: string }): Record<string, unknown> {
  const { mediaType, digest, size, urls, annotations, data, platform } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls && urls.length > 0 ? { urls } : {}),
    ...annotationsMember(annotations ?? {}),
    ...(data === undefined ? {} : { data }),
    ...(platform ? { platform: orderedPlatform(platform) } : {}),
  };
}

/** `{ annotations }` with keys sorted, or nothing. */
function annotationsMember(annotations: Readonly<Record<string, string>>): {
  annotations?: Record<string, string>;
} {
  const keys = Object.keys(annotations).sort();
  if (keys.length === 0) return {};
  return { annotations: Object.fromEntries(keys.map(key => [key, annotations[key] ?? ''])) };
}

function orderedPlatform(platform: Platform): Record<string, unknown> {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform['os.version'] ? { 'os.version': platform['os.version'] } : {}),
    ...(platform['os.features']?.length ? { 'os.features': platform['os.features'] } : {}),
    ...(platform.variant ? { variant: platform.variant } : {}),
  };
}
