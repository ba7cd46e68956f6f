import { type ListedImage, listImages } from './image-list.ts';
import { openImages } from './open-stores.ts';
import { textTable } from './table.ts';
import { formatAge, formatBytes } from './units.ts';

/** Flags of `outcrop images`. */
export interface ImagesFlags {
  readonly quiet?: true;
  readonly digests?: true;
  readonly trunc: boolean;
  readonly json?: true;
  readonly names?: true;
}

/** What `outcrop images` prints. @param now Milliseconds since the epoch. */
export async function runImages(
  name: string | undefined,
  flags: ImagesFlags,
  root?: string,
  now: number = Date.now(),
): Promise<string> {
  using stores = openImages(root);
  const all = stores ? await listImages(stores.content, stores.images) : [];
  const images = name === undefined ? all : all.filter(image => isCalled(image, name));
  if (flags.quiet) return lines([...new Set(images.map(({ id }) => shortDigest(id, flags.trunc)))]);
  if (flags.names) return lines(images.map(({ reference }) => reference));
  if (flags.json) return lines(images.map(jsonOf));
  const header = ['REPOSITORY', 'TAG', ...(flags.digests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE'];
  const rows = images.map(({ repository, tag, record, id, createdAt, size }) => [
    repository,
    tag,
    ...(flags.digests ? [record.target.digest] : []),
    shortDigest(id, flags.trunc),
    createdAt === undefined ? 'N/A' : `${formatAge(Math.max(0, now - createdAt))} ago`,
    size === undefined ? 'damaged' : formatBytes(size),
  ]);
  return textTable(header, rows);
}

/** The twelve digits that people know an image by, or the whole digest. */
function shortDigest(digest: string, shorten: boolean): string {
  return shorten ? digest.slice('sha256:'.length, 'sha256:'.length + 12) : digest;
}

function isCalled({ repository, reference, record }: ListedImage, name: string): boolean {
  return [repository, reference, record.name, `${reference}:latest`].includes(name) || reference === `${name}:latest`;
}

function jsonOf({ record, reference, repository, tag, id, createdAt, size }: ListedImage): string {
  return JSON.stringify({
    name: reference,
    repository,
    tag,
    id,
    digest: record.target.digest,
    mediaType: record.target.mediaType,
    platform: record.target.platform,
    created: createdAt === undefined ? null : new Date(createdAt).toISOString(),
    named: new Date(record.updatedAt).toISOString(),
    size: size ?? null,
  });
}

function lines(texts: readonly string[]): string {
  return texts.map(text => `${text}\n`).join('');
}
