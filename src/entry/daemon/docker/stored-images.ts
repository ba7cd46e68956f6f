import type { ImageContent } from '../../../engine/source/image-content.ts';
import { type ResolvedImage, resolveImage } from '../../../engine/source/image-content.ts';
import { readStoredImage } from '../../../store/content/stored-image.ts';
import type { Descriptor, Platform } from '../../../wire/oci/descriptor.ts';
import type { Digest } from '../../../wire/oci/digest.ts';
import { type ImageConfig, parseImageConfig } from '../../../wire/oci/image-config.ts';
import {
  familiarName,
  familiarReference,
  formatReference,
  ImageReferenceError,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../../../wire/oci/reference.ts';
import type { Engine } from '../../builder/engine.ts';
import { ApiError } from './api-call.ts';

type ImageRecord = ReturnType<Engine['images']['list']>[number];

/** An image of the store with all its names. */
export interface NamedImage {
  readonly target: Descriptor;
  readonly records: readonly ImageRecord[];
  /** `app:1.0`. */
  readonly tags: readonly string[];
  /** `app@sha256:…`. */
  readonly digests: readonly string[];
}

/** What images without a name are kept under. */
export const DANGLING_PREFIX = 'moby-dangling';

/** The images of the store, each once. */
export function storedImages({ images }: Engine): NamedImage[] {
  const byDigest = new Map<Digest, ImageRecord[]>();
  for (const record of images.list()) {
    const records = byDigest.get(record.target.digest) ?? [];
    byDigest.set(record.target.digest, [...records, record]);
  }
  return [...byDigest.values()].flatMap(records => {
    const [first] = records;
    return first === undefined ? [] : [namedImage(first.target, records)];
  });
}

function namedImage(target: Descriptor, records: readonly ImageRecord[]): NamedImage {
  const tags: string[] = [];
  const digests = new Set<string>();
  for (const { name } of records) {
    const reference = readReference(name);
    if (reference === undefined || reference.path === `library/${DANGLING_PREFIX}`) continue;
    if (reference.digest === undefined) tags.push(familiarReference(reference));
    digests.add(`${familiarName(reference)}@${target.digest}`);
  }
  return { target, records, tags, digests: [...digests] };
}

/** What a client calls an image: a name, a name with a digest, or the beginning of an id. Throws ApiError. */
export async function findImage(engine: Engine, name: string, signal: AbortSignal): Promise<NamedImage> {
  const all = storedImages(engine);
  const reference = readReference(name);
  if (reference !== undefined) {
    const whole = formatReference(withDefaultTag(reference));
    const named = all.find(({ records }) => records.some(record => record.name === whole));
    if (named !== undefined) return named;
    const { digest } = reference;
    const pinned =
      digest &&
      all.find(
        image => image.target.digest === digest && image.digests.includes(`${familiarName(reference)}@${digest}`),
      );
    if (pinned) return pinned;
  }
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(name)?.[1];
  if (hex === undefined) throw missing(name);
  const found: NamedImage[] = [];
  for (const image of all) {
    const id = await imageID(engine, image.target, signal);
    if ([id, image.target.digest].some(digest => digest.startsWith(`sha256:${hex}`))) found.push(image);
  }
  const [first, second] = found;
  if (first === undefined) throw missing(name);
  if (second !== undefined) throw new ApiError(400, `ambiguous reference: ${name} is the beginning of several ids`);
  return first;
}

function missing(name: string): ApiError {
  return new ApiError(404, `No such image: ${name}`);
}

/** What people call an image by: the digest of its config, or of its index when it has one. */
export async function imageID({ content }: Engine, target: Descriptor, signal: AbortSignal): Promise<Digest> {
  const stored = await readStoredImage(content, target, signal).catch(() => undefined);
  return stored?.id ?? target.digest;
}

/** An image in a list. */
export async function summaryOf(
  engine: Engine,
  image: NamedImage,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const { target, tags, digests } = image;
  const stored = await readStoredImage(engine.content, target, signal).catch(() => undefined);
  const config = (await openImage(engine, target, undefined, signal).catch(() => undefined))?.config;
  return {
    Id: stored?.id ?? target.digest,
    ParentId: '',
    RepoTags: tags,
    RepoDigests: digests,
    Created: stored?.created === undefined ? 0 : Math.floor(Date.parse(stored.created) / 1000),
    Size: stored?.size ?? 0,
    SharedSize: -1,
    Labels: config?.config?.Labels ?? null,
    Containers: -1,
  };
}

/** One platform of an image. */
export interface OpenedImage {
  readonly image: ResolvedImage;
  readonly config: ImageConfig;
}

/** Opens the image for a platform, this machine's unless said. Throws ApiError when it has none. */
export async function openImage(
  engine: Engine,
  target: Descriptor,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<OpenedImage> {
  try {
    const image = await resolveImage(storedContent(engine), target, platform ?? engine.platform, signal);
    return { image, config: parseImageConfig(image.config) };
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new ApiError(404, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function storedContent({ content }: Engine): ImageContent {
  return {
    document: ({ digest }, signal) => content.bytes(digest, signal),
    stream: ({ digest }) => content.read(digest),
  };
}

/** A name, or undefined for what is none. */
export function readReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}

/** A name that must be one. Throws ApiError. */
export function requireReference(text: string): Reference {
  try {
    return parseReference(text);
  } catch (cause) {
    throw new ApiError(400, `invalid reference format: ${cause instanceof Error ? cause.message : text}`, { cause });
  }
}
