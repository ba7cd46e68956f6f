import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile } from '../../../host/system/lock.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { goJson } from '../../oci/go-json.ts';
import { type Index, parseIndex } from '../../oci/manifest.ts';
import { OCI_INDEX } from '../../oci/media-types.ts';
import { parseReference, withDefaultTag } from '../../oci/reference.ts';

const IMAGE_NAME = 'io.containerd.image.name';
const REF_NAME = 'org.opencontainers.image.ref.name';
const DEFAULT_TAG = 'latest';

/** What an image is to be found by in a layout: its whole name, or a tag alone. */
export type LayoutName = { readonly image: string } | { readonly tag: string };

/**
 * Enters an image or cache whose blobs are there into the index of an OCI image layout, in place of what had the same names;
 * under the tag `latest` without any. Other programs that write the same index wait.
 */
export async function enterIntoLayout(
  directory: string,
  descriptor: Descriptor,
  names: readonly LayoutName[],
  signal: AbortSignal,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'index.json');
  using _lock = await lockFile(`${file}.lock`, 'exclusive', signal);
  let manifests = [...((await readIndex(file))?.manifests ?? [])];
  for (const name of names.length === 0 ? [{ tag: DEFAULT_TAG }] : names) {
    const own = 'tag' in name ? { [REF_NAME]: name.tag } : { [IMAGE_NAME]: name.image, [REF_NAME]: tagOf(name.image) };
    const isReplaced = ({ annotations = {} }: Descriptor): boolean =>
      annotations[REF_NAME] === own[REF_NAME] && annotations[IMAGE_NAME] === own[IMAGE_NAME];
    manifests = manifests.filter(entry => !isReplaced(entry));
    manifests.push({ ...descriptor, annotations: { ...descriptor.annotations, ...own } });
  }
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, goJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  await rename(temporary, file);
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** What the index of a layout has under a whole image name or a tag; undefined also when there is no index. */
export async function findInLayout(directory: string, name: string): Promise<Descriptor | undefined> {
  const manifests = (await readIndex(join(directory, 'index.json')))?.manifests ?? [];
  return (
    manifests.find(({ annotations }) => annotations?.[IMAGE_NAME] === name) ??
    manifests.find(({ annotations }) => annotations?.[REF_NAME] === name)
  );
}

function tagOf(image: string): string {
  return withDefaultTag(parseReference(image)).tag ?? DEFAULT_TAG;
}

async function readIndex(file: string): Promise<Index | undefined> {
  try {
    return parseIndex(await readFile(file));
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}
