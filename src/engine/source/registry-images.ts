import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { type ParsedManifest, parseManifest } from '../../wire/oci/manifest.ts';
import { formatReference, type Reference, withDefaultTag, withTag } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { type ImageContent, registryContent, repositoryOf } from './image-content.ts';
import { lookUps } from './look-ups.ts';
import { SourceError } from './source-key.ts';

/**
 * How a name is looked up: `default` asks the registry and takes an image of this machine when that fails, `pull` asks the
 * registry only, `local` takes an image of this machine first.
 */
export type ResolveMode = 'default' | 'pull' | 'local';

/** What a reference names, and where its parts are. */
export interface ImageRoot {
  readonly root: Descriptor;
  readonly content: ImageContent;
}

/** Finds images by name: in registries and among those that were built here. */
export interface RegistryImages {
  /** Answers of one object stay the same for as long as it lives: a tag that moves during a build is not seen. */
  resolve(reference: Reference, mode: ResolveMode, signal: AbortSignal): Promise<ImageRoot>;
}

/**
 * Reads the attribute `image.resolvemode`.
 * @throws SourceError
 */
export function parseResolveMode(text: string | undefined): ResolveMode {
  if (text === undefined || text === '' || text === 'default') return 'default';
  if (text === 'pull' || text === 'local') return text;
  throw new SourceError(`invalid resolvemode: ${text}`);
}

/** Image names over a registry client and the store of this machine. */
export function createRegistryImages(
  store: ContentStore,
  images: ImageStore,
  registry: RegistryClient,
): RegistryImages {
  const answers = lookUps<Descriptor>();

  const local = (reference: Reference): Descriptor | undefined => {
    const name = withTag(reference, reference.tag ?? 'latest');
    const target = images.get(formatReference(name))?.target;
    if (target === undefined || !store.has(target.digest)) return undefined;
    return reference.digest === undefined || reference.digest === target.digest ? target : undefined;
  };

  const find = async (reference: Reference, mode: ResolveMode, signal: AbortSignal): Promise<Descriptor> => {
    const pinned = await stored(store, images, reference, signal);
    if (pinned !== undefined) return pinned;
    if (mode === 'local') {
      const target = local(reference);
      if (target !== undefined) return target;
    }
    try {
      const found = await registry.resolve(reference, signal);
      images.noteIn(repositoryOf(reference), found.digest);
      return found;
    } catch (error) {
      const target = mode === 'default' && !signal.aborted ? local(reference) : undefined;
      if (target === undefined) throw error;
      return target;
    }
  };

  return {
    async resolve(given, mode, signal) {
      const reference = withDefaultTag(given);
      const content = registryContent(store, images, registry, reference);
      const key = `${mode} ${formatReference(reference)}`;
      return { root: await answers.ask(key, inner => find(reference, mode, inner), signal), content };
    },
  };
}

/**
 * What is pinned by digest and already here needs no registry, if it is known to be in that repository: else who may not
 * read a repository could have its images under the name of another.
 */
async function stored(
  store: ContentStore,
  images: ImageStore,
  reference: Reference,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const { digest } = reference;
  if (digest === undefined || !store.has(digest) || !images.isIn(repositoryOf(reference), digest)) return undefined;
  const bytes = await store.bytes(digest, signal).catch(() => undefined);
  if (bytes === undefined) return undefined;
  let parsed: ParsedManifest;
  try {
    parsed = parseManifest(bytes);
  } catch {
    return undefined;
  }
  return { mediaType: parsed.mediaType, digest, size: bytes.length };
}
