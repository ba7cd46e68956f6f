import type { Platform } from '../../wire/oci/descriptor.ts';
import { type Digest, hexOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { formatPlatform, normalizePlatform } from '../../wire/oci/platform.ts';
import { familiarName, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import { jsonMap, jsonObject } from './json-text.ts';

/** An image that a build was made of. */
export interface ImageMaterial {
  readonly ref: string;
  readonly platform?: Platform;
  /** Of what the reference named. */
  readonly digest?: Digest;
  /** Whether it came out of an OCI layout of the client. */
  readonly local: boolean;
}

/** A blob that was used as a file. */
export interface BlobMaterial {
  readonly ref: string;
  readonly digest?: Digest;
  readonly local: boolean;
}

/** A git repository. */
export interface GitMaterial {
  /** The remote and, behind `#`, the ref that was asked for. */
  readonly url: string;
  readonly commit: string;
  /** Where its bundle was found: `docker-image+blob://REF@DIGEST`. */
  readonly bundle?: string;
}

/** A download. */
export interface HttpMaterial {
  readonly url: string;
  readonly digest: Digest;
}

/** A material as in-toto describes it: where it is, and digests by algorithm. */
export interface Material {
  readonly uri: string;
  readonly digest?: Readonly<Record<string, string>>;
}

/** All that a build was made of, except the directories of the client, which have no digest. */
export interface Materials {
  readonly images: readonly ImageMaterial[];
  readonly blobs: readonly BlobMaterial[];
  readonly git: readonly GitMaterial[];
  readonly http: readonly HttpMaterial[];
}

/** Materials in BuildKit's order: images, blobs, git repositories with their bundles, downloads. */
export function listMaterials({ images, blobs, git, http }: Materials): Material[] {
  return [
    ...images.map(image => withDigest(packageUrl(image, platformQualifier(image.platform)), image.digest)),
    ...blobs.map(blob => withDigest(packageUrl(blob, [['ref_type', 'blob']]), blob.digest)),
    ...git.flatMap(gitMaterials),
    ...http.map(httpMaterial),
  ];
}

/** The JSON text of a material. */
export function materialJson({ uri, digest }: Material): string {
  return jsonObject({ uri: goJson(uri), digest: digestsJson(digest) });
}

/** Digests by algorithm as JSON; undefined when there are none. */
export function digestsJson(digest: Material['digest']): string | undefined {
  return digest && jsonMap(Object.entries(digest).map(([name, hex]) => [name, goJson(hex)]));
}

export function gitMaterial({ url, commit }: GitMaterial): Material {
  return { uri: url, digest: { [commit.length === 64 ? 'sha256' : 'sha1']: commit } };
}

export function httpMaterial({ url, digest }: HttpMaterial): Material {
  return withDigest(url, digest);
}

function gitMaterials(source: GitMaterial): Material[] {
  const bundle = /^([^:]+):\/\/(.+)@(sha256:[0-9a-f]{64})$/.exec(source.bundle ?? '');
  if (!bundle) return [gitMaterial(source)];
  const [, scheme = '', ref = '', digest = ''] = bundle;
  const blob = { ref, local: scheme.startsWith('oci-layout') };
  const uri = packageUrl(blob, [
    ['ref_type', 'bundle'],
    ['vcs_url', source.url],
  ]);
  return [gitMaterial(source), { uri, digest: { sha256: digest.slice('sha256:'.length) } }];
}

function withDigest(uri: string, digest: Digest | undefined): Material {
  return digest === undefined ? { uri } : { uri, digest: { sha256: hexOf(digest) } };
}

type Qualifier = readonly [name: string, value: string];

function platformQualifier(platform: Platform | undefined): Qualifier[] {
  return platform === undefined ? [] : [['platform', formatPlatform(normalizePlatform(platform))]];
}

/** The package URL of an image (package-url spec, types docker and oci), with the digest as a qualifier where one is named. */
function packageUrl({ ref, local }: { ref: string; local: boolean }, qualifiers: readonly Qualifier[]): string {
  const { digest, ...reference } = withDefaultTag(parseReference(ref));
  const path = familiarName(reference).split('/').map(escapeQuery).join('/');
  const version = reference.tag === undefined ? '' : `@${escapePath(reference.tag)}`;
  const all: Qualifier[] = [...(digest === undefined ? [] : [['digest', digest] as const]), ...qualifiers];
  const query = all.map(([name, value]) => `${name}=${escapePath(value)}`).join('&');
  return `pkg:${local ? 'oci' : 'docker'}/${path}${version}${query === '' ? '' : `?${query}`}`;
}

/** Go's `url.QueryEscape`. */
function escapeQuery(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, escapeByte)
    .replaceAll('%20', '+');
}

/** Go's `url.PathEscape`. */
function escapePath(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, escapeByte)
    .replace(/%(?:24|26|2B|3A|3D|40)/g, decodeURIComponent);
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
