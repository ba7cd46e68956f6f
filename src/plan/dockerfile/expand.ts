import { isGoSpace } from '../../wire/fsutil/go-path.ts';
import { GlobError, replaceAll, replaceFirst, trimPrefix, trimSuffix } from './glob.ts';
import { goQuote } from './go-text.ts';

/** A word that cannot be expanded. The message ends with the reason and begins with the whole word. */
export class ExpansionError extends Error {
  override readonly name = 'ExpansionError';
}

/** Values of variables by name; a Map is one. */
export interface Variables {
  get(name: string): string | undefined;
}

/** The names that were looked up, in the order of their first lookup. Operands that are not chosen count too. */
export interface Lookups {
  readonly used: ReadonlySet<string>;
  readonly unset: ReadonlySet<string>;
}

export interface ExpandedWord extends Lookups {
  readonly text: string;
}

export interface ExpandedWords extends Lookups {
  readonly words: readonly string[];
}

export interface ExpandOptions {
  /** The escape character in force, default backslash. */
  readonly escape?: string | undefined;
}

/**
 * Expands variables in a word: quotes are removed, escapes resolved, `$name`, `${name}` and the operators
 * `- :- + :+ ? :? # ## % %% / //` replaced (§2.6.2 of POSIX's shell language, with BuildKit's differences).
 *
 * Throws ExpansionError.
 */
export function expandWord(word: string, variables: Variables, options?: ExpandOptions): ExpandedWord {
  return expand(word, variables, { ...WORD, escape: options?.escape ?? '\\' });
}

/** The same, split at unquoted white space, which may come from a variable. Throws ExpansionError. */
export function expandWords(text: string, variables: Variables, options?: ExpandOptions): ExpandedWords {
  return expand(text, variables, { ...WORD, split: true, escape: options?.escape ?? '\\' });
}

/** Expands the content of a COPY or ADD heredoc: quotes are plain characters, the escape character is a backslash. */
export function expandHeredoc(content: string, variables: Variables): ExpandedWord {
  return expand(content, variables, { ...WORD, quotes: 'plain' });
}

/** Expands the text of a step for its name: quotes stay, unset variables stay as written. Throws ExpansionError. */
export function expandForDisplay(text: string, variables: Variables, options?: ExpandOptions): ExpandedWord {
  return expand(text, variables, { ...WORD, quotes: 'keep', keepUnset: true, escape: options?.escape ?? '\\' });
}

/**
 * Splits at unquoted white space and expands nothing; quotes and escapes stay or not. Escape character is the backslash.
 * Throws ExpansionError for what cannot be read.
 */
export function splitWords(text: string, keep: { quotes: boolean; escapes: boolean }): readonly string[] {
  const quotes = keep.quotes ? 'keep' : 'remove';
  return expand(text, NONE, { quotes, keepEscapes: keep.escapes, keepUnset: true, escape: '\\', split: true }).words;
}

interface Mode {
  readonly quotes: 'remove' | 'keep' | 'plain';
  readonly keepEscapes: boolean;
  readonly keepUnset: boolean;
  readonly escape: string;
  /** Whether the words are wanted too. */
  readonly split: boolean;
}

/** Keeps the stack from overflowing. */
const MAX_LEVEL = 500;
const WORD: Mode = { quotes: 'remove', keepEscapes: false, keepUnset: false, escape: '\\', split: false };
const NONE: Variables = new Map<string, string>();
const NO_LOOKUPS: ReadonlySet<string> = new Set();
const SPECIAL = /[$'"\\`<\s\u0085\ufeff]/u;

const NAME = /\p{Nd}+|[@*#?\-$!]|[\p{L}\p{Nd}_]+|/uy;
const HEREDOC_START = /<(?:<[\t\r ]*)?/y;

function expand(source: string, variables: Variables, mode: Mode): ExpandedWord & ExpandedWords {
  if (!SPECIAL.test(source)) {
    return { text: source, words: source === '' ? [] : [source], used: NO_LOOKUPS, unset: NO_LOOKUPS };
  }
  const text = source.startsWith('\ufeff') ? source.slice(1) : source;
  const { quotes, keepUnset, escape: escapeChar, split } = mode;
  const used = new Set<string>();
  const unset = new Set<string>();
  const words: string[] = [];
  // One buffer for all levels, as in BuildKit: an operand discards the part of the word before it.
  let word = '';
  let at = 0;
  let keepEscapes = mode.keepEscapes;
  let level = 0;

  try {
    const result = sequence(undefined);
    endWord();
    return { text: result, words, used, unset };
  } catch (error) {
    if (!(error instanceof ExpansionError || error instanceof GlobError)) throw error;
    throw new ExpansionError(`failed to process ${goQuote(source)}: ${error.message}`, { cause: error });
  }

  function endWord(): void {
    if (word !== '') words.push(word);
    word = '';
  }

  function addSplit(part: string): void {
    if (!split || level > 0) return;
    for (const char of part) {
      if (isGoSpace(char.charCodeAt(0))) endWord();
      else word += char;
    }
  }

  function addWhole(part: string): void {
    if (split && level === 0) word += part;
  }

  /** The text up to `stop`, which is taken too, or to the end. */
  function sequence(stop: string | undefined): string {
    let out = '';
    while (at < text.length) {
      const char = text[at] ?? '';
      if (char === stop) {
        at++;
        return out;
      }
      if (char === '$') {
        const value = dollar();
        out += value;
        addSplit(value);
      } else if (char === '<') {
        HEREDOC_START.lastIndex = at;
        const start = HEREDOC_START.exec(text)?.[0] ?? char;
        at += start.length;
        out += start;
        addWhole(start);
      } else if (quotes !== 'plain' && (char === "'" || char === '"')) {
        const quoted = char === '"' ? doubleQuoted() : singleQuoted();
        out += quoted;
        addWhole(quoted);
      } else if (char === escapeChar) {
        const next = nextChar(at + 1);
        const part = (keepEscapes ? char : '') + next;
        at += 1 + next.length;
        out += part;
        addWhole(part);
      } else {
        const end = plainEnd(stop);
        const part = text.slice(at, end);
        at = end;
        out += part;
        addSplit(part);
      }
    }
    if (stop !== undefined) throw new ExpansionError(`unexpected end of statement while looking for matching ${stop}`);
    return out;
  }

  function plainEnd(stop: string | undefined): number {
    let end = at + 1;
    while (end < text.length) {
      const char = text[end] ?? '';
      if (char === '$' || char === '<' || char === escapeChar || char === stop) break;
      if (quotes !== 'plain' && (char === "'" || char === '"')) break;
      end++;
    }
    return end;
  }

  /** The character at `index`, whole even if it takes two code units; empty at the end. */
  function nextChar(index: number): string {
    const code = text.codePointAt(index);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  function singleQuoted(): string {
    const end = text.indexOf("'", at + 1);
    if (end < 0) {
      at = text.length;
      throw new ExpansionError('unexpected end of statement while looking for matching single-quote');
    }
    const quoted = quotes === 'keep' ? text.slice(at, end + 1) : text.slice(at + 1, end);
    at = end + 1;
    return quoted;
  }

  function doubleQuoted(): string {
    const quote = quotes === 'keep' ? '"' : '';
    let out = quote;
    at++;
    while (at < text.length) {
      const char = text[at] ?? '';
      if (char === '"') {
        at++;
        return out + quote;
      }
      if (char === '$') {
        out += dollar();
      } else if (char !== escapeChar) {
        out += char;
        at++;
      } else {
        const next = text[at + 1];
        if (keepEscapes) out += char;
        at++;
        if (next === undefined) break;
        if (next === '"' || next === '$' || next === escapeChar) at++;
        out += next === '"' || next === '$' ? next : char;
      }
    }
    throw new ExpansionError('unexpected end of statement while looking for matching double-quote');
  }

  function readName(): string {
    NAME.lastIndex = at;
    const name = NAME.exec(text)?.[0] ?? '';
    at += name.length;
    return name;
  }

  function lookUp(name: string): string | undefined {
    const value = variables.get(name);
    (value === undefined ? unset : used).add(name);
    return value;
  }

  function dollar(): string {
    at++;
    if (text[at] !== '{') {
      const name = readName();
      if (name === '') return '$';
      return lookUp(name) ?? (keepUnset ? `$${name}` : '');
    }
    at++;
    if (at >= text.length) throw new ExpansionError("syntax error: missing '}'");
    if ('{}:'.includes(text[at] ?? '')) throw new ExpansionError('syntax error: bad substitution');
    const name = readName();
    const operator = nextChar(at);
    at += operator.length;
    if (operator === '}') return lookUp(name) ?? (keepUnset ? `\${${name}}` : '');
    if (operator === '/') return replacement(name);
    if (operator === '#' || operator === '%') return trimming(name, operator);
    if (operator === ':') {
      const second = nextChar(at);
      at += second.length;
      return alternative(name, second, true);
    }
    return alternative(name, operator, false);
  }

  /** What stands before `stop`; its escapes are kept for patterns. */
  function operand(stop: '/' | '}', forPattern: boolean): string {
    if (level >= MAX_LEVEL) throw new ExpansionError('substitutions are nested too deeply');
    const outer = keepEscapes;
    keepEscapes = forPattern;
    word = '';
    level++;
    try {
      return sequence(stop);
    } catch (error) {
      if ((error instanceof ExpansionError || error instanceof GlobError) && at >= text.length) {
        throw new ExpansionError(stop === '/' ? `syntax error: missing '/' in \${}` : "syntax error: missing '}'", {
          cause: error,
        });
      }
      throw error;
    } finally {
      keepEscapes = outer;
      level--;
    }
  }

  function alternative(name: string, operator: string, emptyIsUnset: boolean): string {
    const shown = `${emptyIsUnset ? ':' : ''}${operator === '' ? '\ufffd' : operator}`;
    const isKnown = operator === '-' || operator === '+' || operator === '?';
    const fails = !isKnown && (!emptyIsUnset || operator === '#' || operator === '%');
    if (fails) throw new ExpansionError(`unsupported modifier (${shown}) in substitution`);
    const other = operand('}', false);
    const value = lookUp(name);
    if (value === undefined && keepUnset) return `\${${name}${shown}${other}}`;
    if (!isKnown) throw new ExpansionError(`unsupported modifier (${shown}) in substitution`);
    const counts = value !== undefined && !(emptyIsUnset && value === '');
    if (operator === '+') return counts ? other : '';
    if (counts) return value;
    if (operator === '-') return other;
    throw new ExpansionError(`${name}: ${other || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`);
  }

  function trimming(name: string, operator: '#' | '%'): string {
    const pattern = operand('}', true);
    const value = lookUp(name);
    if (value === undefined && keepUnset) return `\${${name}${operator}${pattern}}`;
    const longest = pattern.startsWith(operator);
    const trim = operator === '#' ? trimPrefix : trimSuffix;
    return trim(value ?? '', longest ? pattern.slice(1) : pattern, longest);
  }

  function replacement(name: string): string {
    const all = text[at] === '/';
    if (all) at++;
    const pattern = operand('/', true);
    const other = operand('}', true);
    const value = lookUp(name);
    if (value === undefined && keepUnset) return `\${${name}/${pattern}/${other}}`;
    return (all ? replaceAll : replaceFirst)(value ?? '', pattern, other);
  }
}
