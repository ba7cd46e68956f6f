/** Media types of images (OCI image spec, media-types.md; Docker image manifest v2, schema 2). */
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
export const OCI_LAYER_GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip';
const OCI_LAYER_ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd';
const OCI_FOREIGN = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
const OCI_FOREIGN_GZIP = `${OCI_FOREIGN}+gzip`;
const OCI_FOREIGN_ZSTD = `${OCI_FOREIGN}+zstd`;

export const DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
export const DOCKER_LAYER_GZIP = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const DOCKER_LAYER_ZSTD = 'application/vnd.docker.image.rootfs.diff.tar.zstd';
const DOCKER_FOREIGN = 'application/vnd.docker.image.rootfs.foreign.diff.tar';
const DOCKER_FOREIGN_GZIP = `${DOCKER_FOREIGN}.gzip`;

/** The first manifest format of Docker, no longer read by anyone; named to be refused in words. */
const DOCKER_SCHEMA1 = new Set([
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
]);

/** How a layer's tar is compressed. */
export type LayerCompression = 'uncompressed' | 'gzip' | 'zstd';

/** Which of the two families of media types an image uses. */
export type MediaTypeFamily = 'oci' | 'docker';

interface LayerType {
  readonly family: MediaTypeFamily;
  readonly compression: LayerCompression;
  readonly foreign: boolean;
}

const LAYERS = new Map<string, LayerType>([
  [OCI_LAYER, { family: 'oci', compression: 'uncompressed', foreign: false }],
  [OCI_LAYER_GZIP, { family: 'oci', compression: 'gzip', foreign: false }],
  [OCI_LAYER_ZSTD, { family: 'oci', compression: 'zstd', foreign: false }],
  [OCI_FOREIGN, { family: 'oci', compression: 'uncompressed', foreign: true }],
  [OCI_FOREIGN_GZIP, { family: 'oci', compression: 'gzip', foreign: true }],
  [OCI_FOREIGN_ZSTD, { family: 'oci', compression: 'zstd', foreign: true }],
  [DOCKER_LAYER, { family: 'docker', compression: 'uncompressed', foreign: false }],
  [DOCKER_LAYER_GZIP, { family: 'docker', compression: 'gzip', foreign: false }],
  [DOCKER_LAYER_ZSTD, { family: 'docker', compression: 'zstd', foreign: false }],
  [DOCKER_FOREIGN, { family: 'docker', compression: 'uncompressed', foreign: true }],
  [DOCKER_FOREIGN_GZIP, { family: 'docker', compression: 'gzip', foreign: true }],
]);

/** Whether the media type is that of an image index or a Docker manifest list. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_INDEX;
}

/** Whether the media type is that of an image manifest, OCI or Docker. */
export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** Whether the media type is that of an image config, OCI or Docker. */
export function isConfigType(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

/** Whether the media type is Docker's retired manifest, schema 1. */
export function isSchema1Type(mediaType: string): boolean {
  return DOCKER_SCHEMA1.has(mediaType);
}

/** Whether the layer must not be pushed to a registry, being fetched from its `urls`. */
export function isForeignLayerType(mediaType: string): boolean {
  return LAYERS.get(mediaType)?.foreign ?? false;
}

/** How the layer of this media type is compressed; `undefined` when the type is no layer's. */
export function layerCompression(mediaType: string): LayerCompression | undefined {
  return LAYERS.get(mediaType)?.compression;
}

/** The media type of a layer in a family. Docker has no foreign type for zstd: the OCI one is kept. */
export function layerMediaType(family: MediaTypeFamily, compression: LayerCompression, foreign = false): string {
  for (const [name, type] of LAYERS) {
    if (type.family === family && type.compression === compression && type.foreign === foreign) return name;
  }
  return OCI_FOREIGN_ZSTD;
}

/** The media type of the other family that means the same, or the type itself where there is none. */
export function convertLayerType(mediaType: string, family: MediaTypeFamily): string {
  const type = LAYERS.get(mediaType);
  return type === undefined ? mediaType : layerMediaType(family, type.compression, type.foreign);
}
