/** Images by name, as the legacy builder finds them: those that are here first, then registries. */
import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { matchesPlatform } from '../../wire/oci/platform.ts';
import {
  familiarReference,
  formatReference,
  ImageReferenceError,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import type { LayerID } from '../ops/ref.ts';
import { type ResolvedImage, registryContent, resolveImage } from '../source/image-content.ts';
import { createRegistryImages } from '../source/registry-images.ts';
import { type LegacyImage, readContent } from './image.ts';
import type { ImageTable } from './image-table.ts';

/** Images by name. */
export interface NamedImages {
  /** The image of this name that is here, or whose id begins so; undefined for none. */
  local(name: string, signal: AbortSignal): Promise<LegacyImage | undefined>;
  /**
   * The same, pulled if it is not here, is for another platform, or `pull` asks for it.
   * @throws ImageReferenceError and the errors of registries and the stores
   */
  find(name: string, platform: Platform | undefined, pull: boolean, signal: AbortSignal): Promise<LegacyImage>;
}

export interface NamedImagesOptions {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly registry: RegistryClient;
  readonly table: ImageTable;
  /** Of this machine. */
  readonly platform: Platform;
  readonly write: (text: string) => void;
}

export function namedImages(options: NamedImagesOptions): NamedImages {
  const { content, images, layers, registry, table, write } = options;
  const remote = createRegistryImages(content, images, registry);

  /** Makes the layers of an image known, and the image with them. */
  function adopt(image: ResolvedImage): LegacyImage {
    const { digest: id } = image.manifest.config;
    const known = table.get(id);
    if (known?.layers.every(layer => layers.isReachable(layer))) return known;
    const ids: LayerID[] = [];
    for (const { descriptor, diffId } of image.layers) {
      const fetch = (signal: AbortSignal) => image.content.stream(descriptor, signal);
      ids.push(layers.addLazy({ descriptor, diffId, fetch }, ids));
    }
    const adopted = { id, text: Buffer.from(image.config).toString('utf8'), layers: ids };
    table.put(adopted, { parent: undefined, key: undefined });
    return adopted;
  }

  async function open(
    reference: Reference,
    target: Descriptor,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<LegacyImage> {
    return adopt(await resolveImage(registryContent(content, images, registry, reference), target, platform, signal));
  }

  async function named(
    reference: Reference,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<LegacyImage | undefined> {
    const target = images.get(formatReference(reference))?.target;
    if (target === undefined || !content.has(target.digest)) return undefined;
    try {
      return await open(reference, target, platform, signal);
    } catch (error) {
      signal.throwIfAborted();
      // An index of which another platform is here: for this one the image is not.
      if (target.mediaType.includes('index') || target.mediaType.includes('list')) return undefined;
      throw error;
    }
  }

  async function local(name: string, platform: Platform, signal: AbortSignal): Promise<LegacyImage | undefined> {
    const reference = referenceOf(name);
    const found = reference && (await named(reference, platform, signal));
    if (found !== undefined) return found;
    const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(name)?.[1];
    return hex === undefined ? undefined : table.findByPrefix(hex);
  }

  async function pull(name: string, platform: Platform, signal: AbortSignal): Promise<LegacyImage> {
    const reference = withDefaultTag(parseReference(name));
    const { root, content: source } = await remote.resolve(reference, 'pull', signal);
    const known = images.get(formatReference(reference))?.target.digest === root.digest;
    write(`${reference.tag ?? reference.digest}: Pulling from ${reference.path}\n`);
    const image = await resolveImage(source, root, platform, signal);
    const adopted = adopt(image);
    await fetchLayers(image, adopted, signal);
    if (reference.tag !== undefined) images.put(formatReference(reference), root);
    write(`Digest: ${root.digest}\n`);
    const status = known ? 'Image is up to date for' : 'Downloaded newer image for';
    write(`Status: ${status} ${familiarReference(reference)}\n`);
    return adopted;
  }

  async function fetchLayers(image: ResolvedImage, adopted: LegacyImage, signal: AbortSignal): Promise<void> {
    const all = adopted.layers.map((layer, index) => ({
      layer,
      below: adopted.layers.slice(0, index),
      name: image.layers[index] === undefined ? layer : hexOf(image.layers[index].descriptor.digest).slice(0, 12),
    }));
    const isHere = ({ layer }: { readonly layer: LayerID }) => layers.get(layer)?.isUnpacked === true;
    const wanted = all.filter(entry => !isHere(entry));
    for (const entry of all) write(`${entry.name}: ${isHere(entry) ? 'Already exists' : 'Pulling fs layer'}\n`);
    await Promise.all(
      wanted.map(async ({ layer, name }) => {
        await layers.fetch(layer, signal);
        write(`${name}: Verifying Checksum\n${name}: Download complete\n`);
      }),
    );
    for (const { layer, below, name } of wanted) {
      await layers.unlazy([...below, layer], signal);
      write(`${name}: Pull complete\n`);
    }
  }

  return {
    local: (name, signal) => local(name, options.platform, signal),
    async find(name, platform, pulls, signal) {
      const wanted = platform ?? options.platform;
      const found = pulls ? undefined : await local(name, wanted, signal);
      const fits =
        found !== undefined && (platform === undefined || matchesPlatform(platform, readContent(found).platform));
      return fits ? found : pull(name, wanted, signal);
    },
  };
}

function referenceOf(name: string): Reference | undefined {
  try {
    return withDefaultTag(parseReference(name));
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}
