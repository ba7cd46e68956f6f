import { isGoSpace, trimGoSpace } from '../../wire/fsutil/go-path.ts';

/** What separates the keyword and the members of blank-separated lists. */
const BLANKS = /[\t\v\f\r ]+/;

/** An instruction line split at the level that all instructions share. */
export interface CommandLine {
  readonly keyword: string;
  readonly flags: readonly string[];
  readonly rest: string;
}

/** Splits a logical line into keyword, flags and the rest, which is trimmed. */
export function splitCommandLine(line: string, escapeChar: string): CommandLine {
  const trimmed = trimGoSpace(line);
  const blanks = BLANKS.exec(trimmed);
  if (blanks === null) return { keyword: trimmed, flags: [], rest: '' };
  const [flags, rest] = splitFlags(trimmed.slice(blanks.index + blanks[0].length), escapeChar);
  return { keyword: trimmed.slice(0, blanks.index), flags, rest: trimGoSpace(rest) };
}

/** `text` with one character per byte of its UTF-8, which is how BuildKit reads flags. */
function toBytes(text: string): string {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

function fromBytes(bytes: string): string {
  return /[^\0-\x7f]/.test(bytes) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes;
}

/** The leading words that begin with `--`, without quotes, and what follows them. */
function splitFlags(text: string, escapeChar: string): [string[], string] {
  if (!/^[\t-\r ]*--/.test(text)) return [[], text];
  const bytes = toBytes(text);
  const flags: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (isGoSpace(bytes.charCodeAt(at))) {
      at++;
      continue;
    }
    if (!bytes.startsWith('--', at)) return [flags, fromBytes(bytes.slice(at))];
    let word = '';
    let quote = '';
    for (; at < bytes.length; at++) {
      const char = bytes[at] ?? '';
      if (quote === '' && isGoSpace(bytes.charCodeAt(at))) break;
      if (char === quote) quote = '';
      else if (quote === '' && (char === "'" || char === '"')) quote = char;
      else if (char === escapeChar) word += bytes[++at] ?? '';
      else word += char;
    }
    if (word === '--') return [flags, fromBytes(bytes.slice(at))];
    flags.push(word);
  }
  return [flags, ''];
}

/** Words separated by white space; quotes group and stay, the escape character stays together with what it escapes. */
export function splitQuotedWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (quote === '' && isGoSpace(text.charCodeAt(at))) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    if (char === escapeChar && quote !== "'") {
      // At the very end it is dropped.
      const escaped = text[++at];
      if (escaped !== undefined) word += char + escaped;
      continue;
    }
    if (char === quote) quote = '';
    else if (quote === '' && (char === "'" || char === '"')) quote = char;
    word += char;
  }
  if (word !== '') words.push(word);
  return words;
}

/** The members of a blank-separated list. */
export function splitBlanks(text: string): string[] {
  return text === '' ? [] : text.split(BLANKS);
}

/** Splits at the first run of blanks; undefined if there is none. */
export function splitOnce(text: string): [string, string] | undefined {
  const blanks = BLANKS.exec(text);
  if (blanks === null) return undefined;
  return [text.slice(0, blanks.index), text.slice(blanks.index + blanks[0].length)];
}

/** Splits off the first word of a HEALTHCHECK; white space is looked for byte by byte. */
export function splitFirstWord(text: string): [string, string] {
  const bytes = toBytes(text);
  let end = 0;
  while (end < bytes.length && !isGoSpace(bytes.charCodeAt(end))) end++;
  let next = end;
  while (next < bytes.length && isGoSpace(bytes.charCodeAt(next))) next++;
  return [fromBytes(bytes.slice(0, end)), fromBytes(bytes.slice(next))];
}

/** The strings of a JSON array, `mixed` for an array that holds something else, undefined for any other text. */
export function parseJsonWords(text: string): string[] | 'mixed' | undefined {
  const json = trimGoSpace(text);
  if (!json.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const strings = value.filter(member => typeof member === 'string');
  return strings.length === value.length ? strings.map(member => member.toWellFormed()) : 'mixed';
}
