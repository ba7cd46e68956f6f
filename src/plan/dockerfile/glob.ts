/** A code point that stands for itself, one that is no newline, or a run of those. */
type Token = number | 'one' | 'run';

/** A pattern of `${name#pattern}` that has an escape of something that needs none. */
export class GlobError extends Error {
  override readonly name = 'GlobError';
}

const NEWLINE = 0x0a;

/** `value` without the shortest or longest beginning that matches. Throws GlobError. */
export function trimPrefix(value: string, pattern: string, longest: boolean): string {
  const chars = Array.from(value);
  const end = matchEnds(parse(pattern), chars, longest)[0] ?? -1;
  return end <= 0 ? value : chars.slice(end).join('');
}

/** `value` without the shortest or longest end that matches. Throws GlobError. */
export function trimSuffix(value: string, pattern: string, longest: boolean): string {
  const backwards = (pattern.match(/\\.|./gsu) ?? []).reverse().join('');
  return reverse(trimPrefix(reverse(value), backwards, longest));
}

/** `value` with its first match replaced by `replacement` as it is. Throws GlobError. */
export function replaceFirst(value: string, pattern: string, replacement: string): string {
  const chars = Array.from(value);
  const ends = matchEnds(parse(pattern), chars, true);
  const start = ends.findIndex(end => end >= 0);
  if (start < 0) return value;
  return chars.slice(0, start).join('') + replacement + chars.slice(ends[start]).join('');
}

/**
 * `value` with every match replaced by `template`, in which `$0` is the match and any other `$name` nothing (Go's
 * `Regexp.ReplaceAllString`). An empty match right after another match does not count. Throws GlobError.
 */
export function replaceAll(value: string, pattern: string, template: string): string {
  const chars = Array.from(value);
  const ends = matchEnds(parse(pattern), chars, true);
  let out = '';
  let copied = 0;
  let at = 0;
  while (at <= chars.length) {
    const end = ends[at] ?? -1;
    if (end < 0) {
      at++;
      continue;
    }
    out += chars.slice(copied, at).join('');
    if (end > copied || at === 0) out += fillTemplate(template, chars.slice(at, end).join(''));
    copied = end;
    at = Math.max(end, at + 1);
  }
  return out + chars.slice(copied).join('');
}

function fillTemplate(template: string, match: string): string {
  return template.replace(
    /\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu,
    (whole, braced?: string, bare?: string) => {
      if (whole === '$$') return '$';
      return (braced ?? bare) === '0' ? match : '';
    },
  );
}

function reverse(text: string): string {
  return Array.from(text).reverse().join('');
}

function parse(pattern: string): Token[] {
  // A byte order mark at the start is dropped, as it is from words.
  const chars = Array.from(pattern.replace(/^\ufeff/, ''));
  const tokens: Token[] = [];
  for (let i = 0; i < chars.length; i++) {
    let char = chars[i] ?? '';
    if (char === '*') {
      tokens.push('run');
      continue;
    }
    if (char === '?') {
      tokens.push('one');
      continue;
    }
    if (char === '\\') {
      const next = chars[i + 1] ?? '\ufffd';
      // The escape of } and / belongs to the substitution around the pattern.
      if (next === '}' || next === '/') continue;
      if (!'*?\\'.includes(next))
        throw new GlobError(`invalid pattern (${pattern}) in substitution: invalid escape '\\${next}'`);
      char = next;
      i++;
    }
    tokens.push(char.codePointAt(0) ?? 0);
  }
  return tokens;
}

/** For every start the end of the longest or shortest match there, -1 if there is none; in time text times pattern. */
function matchEnds(tokens: readonly Token[], chars: readonly string[], longest: boolean): Int32Array {
  const codes = chars.map(char => char.codePointAt(0) ?? 0);
  let ends = Int32Array.from({ length: codes.length + 1 }, (_, at) => at);
  for (const token of tokens.toReversed()) {
    const before = new Int32Array(ends.length).fill(-1);
    if (token === 'run') before[codes.length] = ends[codes.length] ?? -1;
    for (let at = codes.length - 1; at >= 0; at--) {
      const code = codes[at] ?? 0;
      const next = (token === 'run' ? before : ends)[at + 1] ?? -1;
      const goesOn = typeof token === 'number' ? code === token : code !== NEWLINE;
      const end = goesOn ? next : -1;
      before[at] = token === 'run' ? better(ends[at] ?? -1, end, longest) : end;
    }
    ends = before;
  }
  return ends;
}

function better(a: number, b: number, longest: boolean): number {
  if (a < 0 || b < 0) return Math.max(a, b);
  return longest ? Math.max(a, b) : Math.min(a, b);
}
