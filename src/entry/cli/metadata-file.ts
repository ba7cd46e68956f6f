import { writeFile } from 'node:fs/promises';

/**
 * Writes `--metadata-file`: the answers of the exporters as JSON with two spaces, keys sorted; values that are base64 of a
 * JSON object or list are unpacked (buildx).
 */
export async function writeMetadataFile(path: string, response: Readonly<Record<string, string>>): Promise<void> {
  const keys = Object.keys(response).sort();
  const metadata = Object.fromEntries(keys.map(key => [key, unpack(response[key] ?? '')]));
  await writeFile(path, JSON.stringify(metadata, undefined, 2));
}

function unpack(value: string): unknown {
  if (!/^[A-Za-z0-9+/]+=*$/.test(value) || value.length % 4 !== 0) return value;
  const text = Buffer.from(value, 'base64').toString();
  if (!/^\s*[{[]/.test(text)) return value;
  try {
    return JSON.parse(text);
  } catch {
    return value;
  }
}
