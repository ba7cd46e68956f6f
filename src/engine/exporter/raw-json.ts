/** A JSON text that is no object. */
class RawJsonError extends Error {
  override readonly name = 'RawJsonError';
}

/**
 * The members of a JSON object as the text of their values, in order. Values keep their spelling: the order of keys inside
 * them, numbers, escapes; `JSON.parse` would reorder keys that look like numbers.
 * @throws RawJsonError when the text is no JSON object.
 */
export function rawMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw new RawJsonError('expected a JSON object');
  at = skipSpace(text, at + 1);
  while (text[at] !== '}') {
    const keyEnd = valueEnd(text, at);
    const key: unknown = JSON.parse(text.slice(at, keyEnd));
    at = skipSpace(text, keyEnd);
    if (text[at] !== ':' || typeof key !== 'string') throw new RawJsonError('expected a key and a colon');
    const start = skipSpace(text, at + 1);
    const end = valueEnd(text, start);
    members.set(key, text.slice(start, end));
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
    else if (text[at] !== '}') throw new RawJsonError('expected a comma or the end of the object');
  }
  return members;
}

/** The object with these members, keys sorted by their bytes, no spaces between. */
export function sortedObject(members: ReadonlyMap<string, string>): string {
  const keys = [...members.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${keys.map(key => `${JSON.stringify(key)}:${members.get(key)}`).join(',')}}`;
}

function skipSpace(text: string, at: number): number {
  let index = at;
  while (index < text.length && ' \t\n\r'.includes(text[index] ?? '')) index++;
  return index;
}

/** Where the value that begins at `at` ends. */
function valueEnd(text: string, at: number): number {
  if (text[at] === '"') return stringEnd(text, at);
  if (text[at] !== '{' && text[at] !== '[') {
    const match = /[,:}\]\s]/.exec(text.slice(at));
    if (!match) throw new RawJsonError('unexpected end of JSON');
    return at + match.index;
  }
  let depth = 0;
  for (let index = at; index < text.length; index++) {
    const char = text[index];
    if (char === '"') index = stringEnd(text, index) - 1;
    else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return index + 1;
  }
  throw new RawJsonError('unexpected end of JSON');
}

function stringEnd(text: string, at: number): number {
  for (let index = at + 1; index < text.length; index++) {
    if (text[index] === '\\') index++;
    else if (text[index] === '"') return index + 1;
  }
  throw new RawJsonError('unexpected end of a JSON string');
}
