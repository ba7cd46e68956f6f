import { goJson } from '../../wire/oci/go-json.ts';

/** An object of members whose values are JSON texts, in this order; members without a value are left out. */
export function jsonObject(members: Readonly<Record<string, string | undefined>>): string {
  const texts: string[] = [];
  for (const [key, text] of Object.entries(members)) {
    if (text !== undefined) texts.push(`${goJson(key)}:${text}`);
  }
  return `{${texts.join(',')}}`;
}

/** An object of entries whose values are JSON texts, keys sorted by their bytes, as Go writes a map; undefined when empty. */
export function jsonMap(entries: Iterable<readonly [key: string, text: string]>): string | undefined {
  const sorted = [...entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  if (sorted.length === 0) return undefined;
  return `{${sorted.map(([key, text]) => `${goJson(key)}:${text}`).join(',')}}`;
}

/** A list of JSON texts; undefined when empty. */
export function jsonList(texts: readonly string[]): string | undefined {
  return texts.length === 0 ? undefined : `[${texts.join(',')}]`;
}

/** A text as JSON; undefined when empty. */
export function jsonText(text: string): string | undefined {
  return text === '' ? undefined : goJson(text);
}

/** A value as JSON with the keys of every object in it sorted: what Go makes of what passes through maps. */
export function sortedJson(value: unknown): string {
  return goJson(sorted(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}
