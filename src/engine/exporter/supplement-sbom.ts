import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { goJson } from '../../wire/oci/go-json.ts';

const VERSIONS: ReadonlySet<unknown> = new Set(['SPDX-2.1', 'SPDX-2.2', 'SPDX-2.3']);
const CREATOR = 'Tool: outcrop';

type Members = Record<string, unknown>;

/**
 * Says in a bill of materials, SPDX as JSON, which layer each of its files is in, and who said so. Files with a comment keep
 * theirs; what is no such document stays as it is.
 *
 * @param layerOf - the layer that has the file at a path
 */
export function supplementSbom(text: string, layerOf: (path: string) => Descriptor | undefined): string {
  const document = membersOf(parse(text));
  if (document === undefined || !VERSIONS.has(document['spdxVersion'])) return text;
  const supplement = (value: unknown): unknown => {
    const file = membersOf(value);
    const name = file?.['fileName'];
    if (file === undefined || typeof name !== 'string' || file['comment']) return value;
    const layer = layerOf(name);
    return layer === undefined ? file : { ...file, comment: `layerID: ${layer.digest}` };
  };
  const supplemented = (owner: Members): Members => {
    const { files } = owner;
    return Array.isArray(files) ? { ...owner, files: files.map(supplement) } : owner;
  };
  const { packages } = document;
  const info = membersOf(document['creationInfo']) ?? {};
  const creators = Array.isArray(info['creators']) ? info['creators'] : [];
  return goJson({
    ...supplemented(document),
    ...(Array.isArray(packages) ? { packages: packages.map(one => supplemented(membersOf(one) ?? {})) } : {}),
    creationInfo: { ...info, creators: [...creators, CREATOR] },
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function membersOf(value: unknown): Members | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
}
