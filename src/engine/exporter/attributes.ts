import { parseGoBool } from '../../wire/go-bool.ts';
import type { LayerCompression } from '../../wire/oci/media-types.ts';

/** An exporter attribute that cannot be obeyed. */
export class ExporterAttributeError extends Error {
  override readonly name = 'ExporterAttributeError';
}

/** How layers are compressed. */
export interface CompressionOptions {
  readonly type: LayerCompression;
  readonly level?: number;
  /** Convert layers that exist in another compression, the base's too. */
  readonly force: boolean;
}

/** The attributes that image, oci and docker outputs share (BuildKit's names and defaults). */
export interface ImageAttributes {
  readonly names: readonly string[];
  readonly compression: CompressionOptions;
  readonly ociMediaTypes: boolean;
  readonly ociArtifact: boolean;
  readonly inlineAttestations: boolean;
  readonly rewriteTimestamp: boolean;
  readonly preferNondistributable: boolean;
  /** Seconds; `null` where the attribute turns the build's epoch off. */
  readonly epoch?: number | null;
  readonly push: boolean;
  readonly pushByDigest: boolean;
  readonly insecureRegistry: boolean;
  readonly store: boolean;
  readonly tar: boolean;
  readonly danglingPrefix?: string;
  readonly danglingEmptyOnly: boolean;
  readonly canonicalName: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  readonly configs: OwnConfigs;
}

/** The image configs that an output brings, by the ids of their platforms; the one for all others under the empty id. */
type OwnConfigs = ReadonlyMap<string, string>;

type Attributes = Readonly<Record<string, string>>;

/**
 * Reads the attributes of an `image`, `oci` or `docker` output.
 * @throws ExporterAttributeError with BuildKit's text where values conflict or mean nothing.
 */
export function readImageAttributes(type: 'image' | 'oci' | 'docker', attributes: Attributes): ImageAttributes {
  const compression = readCompression(attributes);
  const ociMediaTypes = readBoolean(attributes, 'oci-mediatypes', true);
  const ociArtifact = readBoolean(attributes, 'oci-artifact', ociMediaTypes);
  const rewriteTimestamp = readBoolean(attributes, 'rewrite-timestamp', false);
  if (ociArtifact && !ociMediaTypes) conflict('oci-artifact=true', 'oci-mediatypes=false');
  if (rewriteTimestamp && type === 'image' && readBoolean(attributes, 'unpack', false)) {
    throw new ExporterAttributeError('exporter option "rewrite-timestamp" conflicts with "unpack"');
  }
  const annotations = annotationAttributes(attributes);
  // Those of a manifest are written with Docker's types too.
  const beyondManifest = /^annotation-(?:index|index-descriptor|manifest-descriptor)[.[]/;
  if (!ociMediaTypes && Object.keys(annotations).some(key => beyondManifest.test(key))) {
    throw new ExporterAttributeError('cannot export annotations with "oci-mediatypes=false"');
  }
  const prefix = attributes['dangling-name-prefix'];
  const epoch = readEpoch(attributes);
  return {
    names: splitNames(attributes['name'] ?? ''),
    compression,
    ociMediaTypes,
    ociArtifact,
    inlineAttestations: readBoolean(attributes, 'attestation-inline', type === 'image'),
    rewriteTimestamp,
    preferNondistributable: readBoolean(attributes, 'prefer-nondist-layers', false),
    ...(epoch === undefined ? {} : { epoch }),
    push: readBoolean(attributes, 'push', false),
    pushByDigest: readBoolean(attributes, 'push-by-digest', false),
    insecureRegistry: readBoolean(attributes, 'registry.insecure', false),
    store: readBoolean(attributes, 'store', true),
    tar: readBoolean(attributes, 'tar', true),
    ...(prefix === undefined ? {} : { danglingPrefix: prefix }),
    danglingEmptyOnly: readBoolean(attributes, 'danging-name-empty-only', false),
    canonicalName: readBoolean(attributes, 'name-canonical', false),
    annotations,
    configs: ownConfigs(attributes),
  };
}

/** `containerimage.config[/PLATFORM]`: what a graph without a frontend has for its image. */
function ownConfigs(attributes: Attributes): OwnConfigs {
  const configs = new Map<string, string>();
  for (const [key, value] of Object.entries(attributes)) {
    const match = /^containerimage\.config(?:\/(.+))?$/.exec(key);
    if (match !== null) configs.set(match[1] ?? '', value);
  }
  return configs;
}

function splitNames(text: string): string[] {
  return text.split(',').filter(name => name !== '');
}

/** Whether an output leaves the image's name to the frontend. */
export function leavesName({ names }: ImageAttributes): boolean {
  return names.length === 1 && names[0] === '*';
}

/** The attributes with the frontend's name for the image, where the output leaves that to it. */
export function withFrontendName(attributes: ImageAttributes, name: string | undefined): ImageAttributes {
  return name !== undefined && leavesName(attributes) ? { ...attributes, names: splitNames(name) } : attributes;
}

/** Annotations among the attributes, by their attribute names. */
function annotationAttributes(attributes: Attributes): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).filter(([key]) => /^annotation(-|\[|\.)/.test(key)));
}

function readCompression(attributes: Attributes): CompressionOptions {
  const type = attributes['compression'] || 'gzip';
  if (type === 'estargz') {
    throw new ExporterAttributeError('unsupported compression type estargz: use gzip, zstd or uncompressed');
  }
  if (type !== 'gzip' && type !== 'zstd' && type !== 'uncompressed') {
    throw new ExporterAttributeError(`unsupported compression type ${type}: use gzip, zstd or uncompressed`);
  }
  const text = attributes['compression-level'];
  const level = text === undefined ? undefined : Number(text);
  if (level !== undefined && (text === '' || !Number.isInteger(level))) {
    throw new ExporterAttributeError(`non-integer value ${text} specified for compression-level`);
  }
  const most = type === 'zstd' ? 22 : 9;
  if (level !== undefined && (level < 0 || level > most)) {
    throw new ExporterAttributeError(`compression-level ${level} is out of range: ${type} takes 0 to ${most}`);
  }
  return {
    type,
    ...(level === undefined ? {} : { level }),
    force: readBoolean(attributes, 'force-compression', false),
  };
}

/** The `source-date-epoch` attribute in seconds; `null` when it is there and empty. */
export function readEpoch(attributes: Attributes): number | null | undefined {
  const text = attributes['source-date-epoch'];
  if (text === undefined) return undefined;
  if (text === '') return null;
  if (!/^-?\d+$/.test(text)) throw new ExporterAttributeError(`invalid source-date-epoch: ${text}`);
  return Number(text);
}

/** A boolean attribute in Go's spellings; an empty one is true. @throws ExporterAttributeError for anything else. */
export function readBoolean(attributes: Attributes, key: string, fallback: boolean): boolean {
  const text = attributes[key];
  if (text === undefined) return fallback;
  const said = text === '' || parseGoBool(text);
  if (said !== undefined) return said;
  throw new ExporterAttributeError(`non-bool value specified for ${key}: ${JSON.stringify(text)} (use true or false)`);
}

function conflict(a: string, b: string): never {
  throw new ExporterAttributeError(`exporter option "${a}" conflicts with "${b}"`);
}
