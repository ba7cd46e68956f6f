/** What goes with a call beside its messages: values by lower-case name, in the order sent. */
export type Metadata = ReadonlyMap<string, readonly string[]>;

/** Metadata to send; a name may have several values, each of which becomes a header of its own. */
export type MetadataInit = Iterable<readonly [name: string, value: string | readonly string[]]>;

export const noMetadata: Metadata = new Map();

const BEYOND_ASCII = /[^\0-\x7f]/;

/** The first value of a name. */
export function first(metadata: Metadata, name: string): string | undefined {
  return metadata.get(name)?.[0];
}

/**
 * Metadata out of the raw headers that `node:http2` gives, where repeated names stand apart: the objects that it makes of
 * them join values with commas, which values may have themselves.
 */
export function fromRawHeaders(raw: readonly string[]): Map<string, string[]> {
  const metadata = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const bytes = raw[i + 1] ?? '';
    const value = BEYOND_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString() : bytes;
    const values = metadata.get(name);
    if (values === undefined) metadata.set(name, [value]);
    else values.push(value);
  }
  return metadata;
}

/** Headers as `node:http2` takes them; text that is not ASCII travels as UTF-8. */
export function toHeaders(init: MetadataInit): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of init) {
    const key = name.toLowerCase();
    const known = headers[key];
    const values = typeof value === 'string' ? [value] : value;
    const all = [...(known === undefined ? [] : [known].flat()), ...values.map(asLatin1)];
    const [only, ...others] = all;
    if (only !== undefined) headers[key] = others.length === 0 ? only : all;
  }
  return headers;
}

function asLatin1(value: string): string {
  return BEYOND_ASCII.test(value) ? Buffer.from(value).toString('latin1') : value;
}
