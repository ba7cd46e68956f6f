import type { Descriptor, Platform } from './descriptor.ts';
import { isDigest } from './digest.ts';
import {
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  isSchema1Type,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-types.ts';

/** An image of one platform (OCI image spec, manifest.md). */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Manifests of several platforms under one name (OCI image spec, image-index.md). */
export interface Index {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A manifest or an index, with the media type that it turned out to have. */
export type ParsedManifest =
  | { readonly kind: 'manifest'; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly mediaType: string; readonly index: Index };

/** Bytes that are no manifest, or one that cannot be used. */
class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/**
 * Reads a manifest or index and checks what later code relies on: well-formed digests, sizes, and that it is clearly one or
 * the other (a document that could be read as both lets two readers see two images under one digest).
 * @param mediaType what the descriptor or the server said; the document's own type wins where it has one
 * @throws ManifestError
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): ParsedManifest {
  if (mediaType !== undefined && isSchema1Type(mediaType)) throw schema1();
  const json = parseJson(bytes);
  if (json['schemaVersion'] === 1) throw schema1();
  if (json['schemaVersion'] !== 2) throw new ManifestError('invalid manifest: schemaVersion must be 2');
  const hasManifests = json['manifests'] !== undefined;
  const hasImage = json['config'] !== undefined || json['layers'] !== undefined;
  if (hasManifests && hasImage) throw new ManifestError('invalid ambiguous manifest and manifest list');
  const own = optionalString(json['mediaType'], 'mediaType');
  const type = chooseType(own, mediaType, hasImage);
  if (isIndexType(type) === hasImage) throw new ManifestError('mediaType in manifest does not match manifest contents');
  const common = {
    schemaVersion: 2 as const,
    ...optional('mediaType', own),
    ...optional('artifactType', optionalString(json['artifactType'], 'artifactType')),
    ...(json['subject'] === undefined ? {} : { subject: readDescriptor(json['subject'], 'subject') }),
    ...optional('annotations', readAnnotations(json['annotations'])),
  };
  if (isIndexType(type)) {
    return {
      kind: 'index',
      mediaType: type,
      index: { ...common, manifests: readList(json['manifests'], 'manifests') },
    };
  }
  const config = readDescriptor(json['config'], 'config');
  return {
    kind: 'manifest',
    mediaType: type,
    manifest: { ...common, config, layers: readList(json['layers'], 'layers') },
  };
}

/**
 * Reads the OCI layout's `index.json`, which is an index whose media type may be missing.
 * @throws ManifestError
 */
export function parseIndex(bytes: Uint8Array): Index {
  const parsed = parseManifest(bytes, OCI_INDEX);
  if (parsed.kind !== 'index') throw new ManifestError('expected an image index');
  return parsed.index;
}

function chooseType(own: string | undefined, said: string | undefined, hasImage: boolean): string {
  for (const type of [own, said]) {
    if (type !== undefined && (isIndexType(type) || isManifestType(type))) return type;
  }
  const docker = own === undefined && said === undefined;
  if (hasImage) return docker ? DOCKER_MANIFEST : OCI_MANIFEST;
  return docker ? DOCKER_INDEX : OCI_INDEX;
}

function schema1(): ManifestError {
  return new ManifestError(
    'support Docker Image manifest version 2, schema 1 has been removed. ' +
      'More information at https://docs.docker.com/go/deprecated-image-specs/',
  );
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(bytes: Uint8Array): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ManifestError('invalid manifest: not JSON', { cause });
  }
  if (!isObject(value)) throw new ManifestError('invalid manifest: not a JSON object');
  return value;
}

function readList(value: unknown, name: string): Descriptor[] {
  // An image without layers is written with `null` by Go's encoder.
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw new ManifestError(`invalid manifest: ${name} must be a list`);
  return value.map((entry, i) => readDescriptor(entry, `${name}[${i}]`));
}

function readDescriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw new ManifestError(`invalid manifest: ${where} is missing`);
  const { mediaType, digest, size, urls } = value;
  if (typeof mediaType !== 'string') throw new ManifestError(`invalid manifest: ${where} has no media type`);
  if (typeof digest !== 'string' || !isDigest(digest)) {
    throw new ManifestError(`invalid manifest: ${where} has an unsupported digest ${JSON.stringify(digest)}`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new ManifestError(`invalid manifest: ${where} has no valid size`);
  }
  const list = Array.isArray(urls) ? urls.filter(url => typeof url === 'string') : undefined;
  return {
    mediaType,
    digest,
    size,
    ...optional('urls', list),
    ...optional('annotations', readAnnotations(value['annotations'])),
    ...optional('platform', readPlatform(value['platform'])),
    ...optional('artifactType', optionalString(value['artifactType'], `${where}.artifactType`)),
  };
}

function readPlatform(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  const text = (key: string) => (typeof value[key] === 'string' ? value[key] : '');
  const features = value['os.features'];
  return {
    os: text('os'),
    architecture: text('architecture'),
    ...(text('variant') === '' ? {} : { variant: text('variant') }),
    ...(text('os.version') === '' ? {} : { 'os.version': text('os.version') }),
    ...(Array.isArray(features) ? { 'os.features': features.filter(feature => typeof feature === 'string') } : {}),
  };
}

function readAnnotations(value: unknown): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new ManifestError('invalid manifest: annotations must be an object');
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(entries);
}

function optionalString(value: unknown, where: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new ManifestError(`invalid manifest: ${where} must be a string`);
  return value;
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}
