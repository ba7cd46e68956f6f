import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import { readStoredImage } from '../../store/content/stored-image.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { familiarName, familiarReference, parseReference } from '../../wire/oci/reference.ts';

type ImageRecord = NonNullable<ReturnType<ImageStore['get']>>;

/** A name of an image, as it is listed. */
export interface ListedImage {
  readonly record: ImageRecord;
  /** The short name as people write it: `app:1.0`. */
  readonly reference: string;
  readonly repository: string;
  /** `<none>` for a name with a digest only. */
  readonly tag: string;
  readonly id: Digest;
  /** Milliseconds since the epoch; undefined where the image does not say. */
  readonly createdAt: number | undefined;
  /** Bytes of its blobs; undefined for an image that cannot be read. */
  readonly size: number | undefined;
}

/** The images of a store, newest first. */
export async function listImages(content: ContentStore, images: ImageStore): Promise<ListedImage[]> {
  const listed = await Promise.all(images.list().map(record => describe(content, record)));
  return listed.sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0) || (a.reference < b.reference ? -1 : 1));
}

async function describe(content: ContentStore, record: ImageRecord): Promise<ListedImage> {
  const name = nameOf(record.name);
  try {
    const { id, created, size } = await readStoredImage(content, record.target);
    return { record, ...name, id, createdAt: created === undefined ? undefined : Date.parse(created), size };
  } catch {
    // A damaged image is listed, so that it can be removed.
    return { record, ...name, id: record.target.digest, createdAt: undefined, size: undefined };
  }
}

function nameOf(text: string): Pick<ListedImage, 'reference' | 'repository' | 'tag'> {
  try {
    const reference = parseReference(text);
    const repository = familiarName(reference);
    return { reference: familiarReference(reference), repository, tag: reference.tag ?? '<none>' };
  } catch {
    return { reference: text, repository: text, tag: '<none>' };
  }
}
