import { join } from 'node:path';
import { tryLockFile } from '../../host/system/lock.ts';
import type { ContentStore } from '../../store/content/content-store.ts';
import { readStoredImage } from '../../store/content/stored-image.ts';
import { layerRecords } from '../../store/snapshot/layer-records.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { formatReference, ImageReferenceError, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import { didYouMean, UsageError } from './errors.ts';
import { type ListedImage, listImages } from './image-list.ts';
import { type OpenImages, openImages } from './open-stores.ts';

/** Flags of `outcrop rmi`. */
export interface RmiFlags {
  readonly force?: true;
  readonly prune: boolean;
}

interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/**
 * Runs `outcrop rmi`: what can be removed is, the rest is named.
 * @returns 0, or 1 when any name was wrong.
 */
export async function runRmi(
  names: readonly string[],
  flags: RmiFlags,
  output: Output,
  root?: string,
): Promise<number> {
  using stores = openImages(root);
  const images = stores ? await listImages(stores.content, stores.images) : [];
  let code = 0;
  const removed = new Set<ListedImage>();
  for (const name of names) {
    try {
      for (const image of findImages(name, images, flags.force ?? false)) removed.add(image);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      if (flags.force && error instanceof NoSuchImageError) continue;
      output.stderr.write(`ERROR: ${error.message}\n`);
      code = 1;
    }
  }
  if (!stores || removed.size === 0) return code;
  for (const { record, reference } of removed) {
    stores.images.delete(record.name);
    output.stdout.write(`Untagged: ${reference}\n`);
  }
  if (!flags.prune) return code;
  const deleted = await deleteUnneeded(stores, [...removed]);
  if (deleted === undefined) output.stderr.write('The blobs stay until `outcrop prune`: the store is in use.\n');
  for (const digest of deleted ?? []) output.stdout.write(`Deleted: ${digest}\n`);
  return code;
}

class NoSuchImageError extends UsageError {}

/** The images that a name or the beginning of an id means. @throws UsageError for none, or several. */
function findImages(name: string, images: readonly ListedImage[], all: boolean): readonly ListedImage[] {
  const whole = wholeName(name);
  const named = images.filter(({ record }) => record.name === name || record.name === whole);
  if (named.length > 0) return named;
  const hex = name.replace(/^sha256:/, '');
  const byID = /^[0-9a-f]{4,64}$/.test(hex)
    ? images.filter(({ id, record }) => [id, record.target.digest].some(digest => digest.startsWith(`sha256:${hex}`)))
    : [];
  if (byID.length === 0) {
    const tags = images.filter(({ repository }) => repository === name).map(({ reference }) => reference);
    if (tags.length > 0) throw new NoSuchImageError(`no such image: ${name}:latest; there is ${tags.join(', ')}`);
    const known = images.flatMap(({ reference, repository }) => [reference, repository]);
    throw new NoSuchImageError(`no such image: ${name}${didYouMean(name, known)}`);
  }
  const ids = new Set(byID.map(({ id }) => id));
  if (ids.size > 1) throw new UsageError(`${name} is the beginning of ${ids.size} ids: give more digits`);
  if (byID.length > 1 && !all) {
    const references = byID.map(({ reference }) => reference).join(', ');
    throw new UsageError(`${name} has ${byID.length} names: ${references}; give a name, or --force to remove them all`);
  }
  return byID;
}

function wholeName(name: string): string | undefined {
  try {
    return formatReference(withDefaultTag(parseReference(name)));
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}

/**
 * Deletes blobs of removed images that nothing needs any more: no other image, no layer of the cache.
 * @returns undefined, and nothing is deleted, while builds run that may be about to need them, or when another image cannot
 * be read.
 */
async function deleteUnneeded(stores: OpenImages, removed: readonly ListedImage[]): Promise<Digest[] | undefined> {
  const { content, database, images, root } = stores;
  using lock = tryLockFile(join(root, 'lock'), 'exclusive');
  if (lock === undefined) return undefined;
  const needed = layerRecords(database).blobs();
  for (const { target } of images.list()) {
    const blobs = await blobsOf(content, target);
    if (blobs === undefined) return undefined;
    for (const digest of blobs) needed.add(digest);
  }
  const candidates = new Set<Digest>();
  for (const { record } of removed) {
    for (const digest of (await blobsOf(content, record.target)) ?? [record.target.digest]) candidates.add(digest);
  }
  return [...candidates].filter(digest => !needed.has(digest) && content.delete(digest));
}

async function blobsOf(content: ContentStore, target: Descriptor): Promise<readonly Digest[] | undefined> {
  try {
    return [...(await readStoredImage(content, target)).blobs.keys()];
  } catch {
    return undefined;
  }
}
