import type { TransferFilter } from '../fsutil/filter-tree.ts';
import { first, type Metadata, type MetadataInit } from '../grpc/metadata.ts';

/** What a daemon asks for when it asks for files. */
export interface FileRequest extends TransferFilter {
  /** The name of the directory: `context`, `dockerfile`, … */
  readonly name: string;
}

const KEYS = {
  name: 'dir-name',
  includePatterns: 'include-patterns',
  excludePatterns: 'exclude-patterns',
  followPaths: 'followpaths',
} as const;

/** What headers cannot carry as it stands: beyond ASCII, control characters, blanks at either end. */
const NOT_PLAIN = /[^ -~]|^ | $/;

/** The metadata of a call for files. If one value of a key cannot travel as it stands, all of that key are escaped. */
export function fileMetadata(request: FileRequest): MetadataInit {
  const metadata: [string, readonly string[]][] = [];
  const add = (key: string, values: readonly string[] | undefined): void => {
    if (values === undefined || values.length === 0) return;
    const isEncoded = values.some(value => NOT_PLAIN.test(value));
    metadata.push([key, isEncoded ? values.map(queryEscape) : values]);
    if (isEncoded) metadata.push([`${key}-encoded`, ['1']]);
  };
  add(KEYS.name, [request.name]);
  add(KEYS.includePatterns, request.includePatterns);
  add(KEYS.excludePatterns, request.excludePatterns);
  add(KEYS.followPaths, request.followPaths);
  return metadata;
}

/** Reads the metadata of a call for files. */
export function readFileMetadata(metadata: Metadata): FileRequest {
  const values = (key: string): readonly string[] => {
    const found = metadata.get(key) ?? [];
    return first(metadata, `${key}-encoded`) === '1' ? found.map(queryUnescape) : found;
  };
  return {
    name: values(KEYS.name)[0] ?? '',
    includePatterns: values(KEYS.includePatterns),
    excludePatterns: values(KEYS.excludePatterns),
    followPaths: values(KEYS.followPaths),
  };
}

/** Escapes as Go's `url.QueryEscape` does. */
function queryEscape(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

function queryUnescape(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
