import type { Digest } from './digest.ts';

/**
 * The name of an image, normalised: `alpine` is `{domain: 'docker.io', path: 'library/alpine'}`. Tag and digest may both be
 * there; then the digest decides.
 */
export interface Reference {
  /** Registry host, with its port if it has one. */
  readonly domain: string;
  /** Repository inside the registry. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** A text that is no image reference. Messages are those of Docker's reference library. */
export class ImageReferenceError extends Error {
  override readonly name = 'ImageReferenceError';
}

const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DOMAIN = 'index.docker.io';
const OFFICIAL = 'library/';
const DEFAULT_TAG = 'latest';
const MAX_PATH = 255;

const DOMAIN_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const DOMAIN = `(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const PATH = `${COMPONENT}(?:/${COMPONENT})*`;
const TAG = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}';
const ALGORITHM = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*';
const REFERENCE = new RegExp(`^(?:(${DOMAIN})/)?(${PATH})(?::(${TAG}))?(?:@(${ALGORITHM}:[0-9a-fA-F]{32,}))?$`);
const TAG_ONLY = new RegExp(`^${TAG}$`);
const IDENTIFIER = /^[a-f0-9]{64}$/;

/**
 * Parses an image reference as Docker does (`ParseNormalizedNamed` of distribution/reference): the registry `docker.io` and
 * the prefix `library/` are filled in, a tag is not. Only SHA-256 digests are taken.
 * @throws ImageReferenceError with the library's own wording
 */
export function parseReference(text: string): Reference {
  if (IDENTIFIER.test(text)) {
    throw new ImageReferenceError(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const [domain, remainder] = splitDomain(text);
  const colon = remainder.indexOf(':');
  const remote = colon < 0 ? remainder : remainder.slice(0, colon);
  if (remote.toLowerCase() !== remote) {
    throw new ImageReferenceError(`invalid reference format: repository name (${remote}) must be lowercase`);
  }
  const whole = `${domain}/${remainder}`;
  const match = REFERENCE.exec(whole);
  if (match === null) {
    const lower = REFERENCE.test(whole.toLowerCase());
    throw new ImageReferenceError(lower ? 'repository name must be lowercase' : 'invalid reference format');
  }
  // The domain is optional in the grammar, so one that is none ("a_b.c/x") ends up as part of the path.
  const [, matchedDomain = '', path = '', tag, digest] = match;
  if (path.length > MAX_PATH)
    throw new ImageReferenceError(`repository name must not be more than ${MAX_PATH} characters`);
  return {
    domain: matchedDomain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest: checkDigest(digest) }),
  };
}

/** The reference with the tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: DEFAULT_TAG };
}

/** The reference with this digest, its tag kept. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, digest };
}

/** The reference with this tag and no digest. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!TAG_ONLY.test(tag)) throw new ImageReferenceError('invalid tag format');
  return { domain: reference.domain, path: reference.path, tag };
}

/** The whole name without tag and digest: `docker.io/library/alpine`. */
export function repositoryName(reference: Reference): string {
  return reference.domain === '' ? reference.path : `${reference.domain}/${reference.path}`;
}

/** The whole normalised text: `docker.io/library/alpine:3.22@sha256:…`. */
export function formatReference(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/** The short form that Docker shows: `alpine:3.22`, `user/app`, `quay.io/a/b`. */
export function familiarReference(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

/** The short name without tag and digest. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return repositoryName(reference);
  const official = reference.path.startsWith(OFFICIAL) ? reference.path.slice(OFFICIAL.length) : undefined;
  return official === undefined || official.includes('/') ? reference.path : official;
}

/** Whether a text is a valid tag. */
export function isTag(text: string): boolean {
  return TAG_ONLY.test(text);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

function splitDomain(name: string): [domain: string, remainder: string] {
  const slash = name.indexOf('/');
  if (slash < 0) return [DEFAULT_DOMAIN, OFFICIAL + name];
  const first = name.slice(0, slash);
  const rest = name.slice(slash + 1);
  const isDomain = first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first;
  const domain = first === LEGACY_DOMAIN || !isDomain ? DEFAULT_DOMAIN : first;
  const remainder = isDomain ? rest : name;
  return [domain, domain === DEFAULT_DOMAIN && !remainder.includes('/') ? OFFICIAL + remainder : remainder];
}

const HEX_LENGTH = new Map([
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
]);

function checkDigest(text: string): Digest {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  const hex = text.slice(colon + 1);
  const length = HEX_LENGTH.get(algorithm);
  if (length === undefined) throw new ImageReferenceError('unsupported digest algorithm');
  if (hex.length !== length) throw new ImageReferenceError('invalid checksum digest length');
  if (hex.toLowerCase() !== hex) throw new ImageReferenceError('invalid checksum digest format');
  if (algorithm !== 'sha256') throw new ImageReferenceError('unsupported digest algorithm');
  return `sha256:${hex}`;
}
