/** What `--cache-to` and `--cache-from` ask for (remote-cache facts, section 10). */
import { suggest } from '../../../plan/dockerfile/suggest.ts';
import { type Digest, isDigest } from '../../../wire/oci/digest.ts';
import { parseReference, type Reference, withDefaultTag } from '../../../wire/oci/reference.ts';
import type { CompressionOptions } from '../../exporter/attributes.ts';
import type { ExportMode } from '../../solver/export-walk.ts';
import { type AttributeReader, attributeReader, CacheOptionsError } from './attributes.ts';
import { type GhaPlace, readGhaPlace } from './gha-place.ts';
import type { CacheRequest } from './port.ts';
import { readS3Place, type S3Place } from './s3-place.ts';

/** Where a cache lies that is a manifest with blobs. */
export type ContentPlace =
  | { readonly type: 'registry'; readonly reference: Reference; readonly insecure: boolean }
  | { readonly type: 'local'; readonly directory: string; readonly tag: string; readonly digest?: Digest };

/** Where a cache lies that is one document with blobs. */
export type ObjectPlace = S3Place | GhaPlace;

/** How a cache of a manifest and blobs is written. */
export interface ContentForm {
  readonly compression: CompressionOptions;
  readonly ociMediaTypes: boolean;
  /** An image manifest; otherwise an index. */
  readonly imageManifest: boolean;
}

/** What all exports have in common. */
interface ExportChoice {
  readonly mode: ExportMode;
  /** A failed export is shown, but does not fail the build. */
  readonly ignoreError: boolean;
  /** Keep the records that the place already holds. */
  readonly merge: boolean;
}

/** A checked `--cache-to`. */
export type CacheExportOptions =
  | { readonly type: 'inline' }
  | ({
      readonly type: 'content';
      readonly place: ContentPlace;
      readonly form: ContentForm;
      /** Afterwards delete what the directory's index does not reach. */
      readonly reset: boolean;
      /** The cache mounts of the build's steps travel with it. */
      readonly mounts: boolean;
    } & ExportChoice)
  | ({ readonly type: 'object'; readonly place: ObjectPlace } & ExportChoice)
  /** Nothing is written, with a reason. */
  | { readonly type: 'none'; readonly vertex: string; readonly reason: string };

/** A checked `--cache-from`. */
export interface CacheImportOptions {
  /** A text is the reason why there is none. */
  readonly place: ContentPlace | ObjectPlace | string;
  /** Results that are older, in milliseconds, are not used. */
  readonly maxAge?: number;
}

/** Compression of layers that are made for a cache without a say in it. */
export const defaultCompression: CompressionOptions = { type: 'gzip', force: false };

const exportTypes = ['registry', 'local', 'inline', 's3', 'gha'];
const importTypes = ['registry', 'local', 's3', 'gha'];

/**
 * Reads a `--cache-to`.
 *
 * @throws CacheOptionsError
 */
export function readExportOptions({ type, attributes }: CacheRequest, env: NodeJS.ProcessEnv): CacheExportOptions {
  const read = attributeReader(`${type} cache exporter`, attributes);
  switch (type) {
    case 'inline':
      readChoice(read);
      refuseMounts(read);
      return { type: 'inline' };
    case 'registry': {
      const form = readForm(read);
      const mounts = read.boolean('mounts', false);
      return {
        type: 'content',
        place: registryPlace('exporter', read),
        form,
        reset: false,
        mounts,
        ...readChoice(read),
      };
    }
    case 'local': {
      const before = read.text('digest');
      const place = {
        type: 'local',
        directory: read.required('dest'),
        tag: read.text('tag') ?? 'latest',
        ...(before !== undefined && isDigest(before) ? { digest: before } : {}),
      } as const;
      const [reset, mounts] = [readReset(attributes), read.boolean('mounts', false)];
      return { type: 'content', place, form: readForm(read), reset, mounts, ...readChoice(read) };
    }
    case 's3':
      refuseMounts(read);
      return { type: 'object', place: readS3Place(read, env), ...readChoice(read) };
    case 'gha': {
      refuseMounts(read);
      const place = readGhaPlace(read, env, new Date());
      if (typeof place === 'string')
        return { type: 'none', vertex: 'exporting to GitHub Actions Cache', reason: place };
      return { type: 'object', place, ...readChoice(read) };
    }
    default:
      throw new CacheOptionsError(unknownType('exporter', type, exportTypes));
  }
}

/**
 * Reads a `--cache-from`.
 *
 * @throws CacheOptionsError
 */
export function readImportOptions({ type, attributes }: CacheRequest, env: NodeJS.ProcessEnv): CacheImportOptions {
  const read = attributeReader(`${type} cache importer`, attributes);
  const age = read.duration('max-age', Number.POSITIVE_INFINITY);
  const maxAge = Number.isFinite(age) ? { maxAge: age } : {};
  if (type === 'registry') return { place: registryPlace('importer', read), ...maxAge };
  if (type === 'local') return { place: localSource(read, attributes), ...maxAge };
  if (type === 's3') return { place: readS3Place(read, env), ...maxAge };
  if (type === 'gha') return { place: readGhaPlace(read, env, new Date()), ...maxAge };
  throw new CacheOptionsError(unknownType('importer', type, importTypes));
}

function unknownType(role: string, type: string, types: readonly string[]): string {
  const near = suggest(type, types, { caseSensitive: false });
  const hint = near === undefined ? `: it is one of ${types.join(', ')}` : ` (did you mean ${near}?)`;
  return `unknown cache ${role}: ${JSON.stringify(type)}${hint}`;
}

function refuseMounts(read: AttributeReader): void {
  if (read.boolean('mounts', false))
    throw new CacheOptionsError('mounts=true: only caches of type registry and local carry cache mounts');
}

function readChoice(read: AttributeReader): ExportChoice {
  return {
    mode: read.word('mode', ['min', 'max']),
    ignoreError: read.boolean('ignore-error', false),
    merge: read.boolean('merge', false),
  };
}

function readForm(read: AttributeReader): ContentForm {
  const ociMediaTypes = read.boolean('oci-mediatypes', true);
  const imageManifest = read.boolean('image-manifest', ociMediaTypes);
  if (imageManifest && !ociMediaTypes) {
    throw new CacheOptionsError(
      'invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format',
    );
  }
  return { compression: read.compression(), ociMediaTypes, imageManifest };
}

function readReset(attributes: Readonly<Record<string, string>>): boolean {
  try {
    return attributeReader('local cache exporter', attributes).boolean('reset', false);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replace(/^.*: (?=strconv)/, '') : '';
    throw new CacheOptionsError(`failed to parse reset attribute: ${message}`, { cause });
  }
}

function registryPlace(role: 'exporter' | 'importer', read: AttributeReader): ContentPlace {
  const text = read.required('ref');
  const insecure = read.boolean('registry.insecure', false);
  try {
    return { type: 'registry', reference: withDefaultTag(parseReference(text)), insecure };
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new CacheOptionsError(`failed to configure registry cache ${role}: ${message}`, { cause });
  }
}

function localSource(read: AttributeReader, attributes: Readonly<Record<string, string>>): ContentPlace {
  const directory = read.required('src');
  const digest = read.text('digest');
  if (digest !== undefined && !isDigest(digest)) {
    throw new CacheOptionsError(`local cache importer: ${digest} is no digest`);
  }
  if (digest === undefined && attributes['tag'] === '') {
    throw new CacheOptionsError(
      'local cache importer requires either explicit digest, "latest" tag or custom tag on index.json',
    );
  }
  const tag = read.text('tag') ?? 'latest';
  return { type: 'local', directory, tag, ...(digest === undefined ? {} : { digest }) };
}
