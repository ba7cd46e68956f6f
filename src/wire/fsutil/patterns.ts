import { cleanPath, trimGoSpace } from './go-path.ts';
import { checkPathPattern, PatternSyntaxError } from './path-match.ts';
import { compileRe2 } from './re2.ts';

/** What a directory got from the patterns, for the paths directly in it. */
export interface MatchInfo {
  /** Whether the directory itself matches: ignored by ignore patterns, included by include patterns. */
  readonly matched: boolean;
  /** Per pattern 1 if it hit this directory or one above it. */
  readonly flags: Uint8Array;
}

/** Compiled patterns, in order. Paths are relative, slash-separated, cleaned. */
export interface PatternMatcher {
  /** Without the empty ones, cleaned, and without their `!`. */
  readonly patterns: readonly { readonly text: string; readonly exception: boolean }[];
  /** Whether a pattern begins with `!`. */
  readonly hasExceptions: boolean;
  /**
   * The state of `path`. `parent` is the info of the directory that holds it; without it the directories above are tried
   * too. Throws PatternSyntaxError for a pattern that cannot be evaluated.
   */
  matches(path: string, parent?: MatchInfo): boolean;
  /** The same, with what the children of `path` need. */
  match(path: string, parent?: MatchInfo): MatchInfo;
  /** Whether an ordinary pattern could match below the directory; true when that cannot be told from the texts. */
  mayMatchBelow(directory: string): boolean;
  /** Whether an exception could match below the directory; true when that cannot be told from the texts. */
  mayExceptBelow(directory: string): boolean;
}

interface Pattern {
  readonly exception: boolean;
  readonly text: string;
  readonly test: (path: string) => boolean;
}

/**
 * Compiles include, exclude or ignore patterns (the matcher of github.com/moby/patternmatcher): a pattern also covers
 * everything below what it matches, `!` takes back, the last one that changes the state counts.
 *
 * Throws PatternSyntaxError for a text that Go rejects when it matches it against `.`, and for a lone `!`.
 */
export function compilePatterns(texts: readonly string[]): PatternMatcher {
  const patterns = texts.flatMap(text => compilePattern(text) ?? []);
  const hasExceptions = patterns.some(pattern => pattern.exception);
  const ordinaryBelow = below(patterns.filter(pattern => !pattern.exception));
  const exceptBelow = below(patterns.filter(pattern => pattern.exception));

  function evaluate(path: string, parent: MatchInfo | undefined, flags: Uint8Array | undefined): boolean {
    let matched = false;
    for (let i = 0; i < patterns.length; i++) {
      const pattern = patterns[i];
      if (pattern === undefined) break;
      let hit = parent !== undefined && parent.flags[i] === 1;
      if (!hit) {
        if (pattern.exception !== matched) continue;
        hit = pattern.test(path) || (parent === undefined && hitsParent(pattern, path));
      }
      if (!hit) continue;
      matched = !pattern.exception;
      if (flags !== undefined) flags[i] = 1;
      else if (matched && !hasExceptions) return true;
    }
    return matched;
  }

  return {
    patterns,
    hasExceptions,
    matches: (path, parent) => evaluate(path, parent, undefined),
    match: (path, parent) => {
      const flags = new Uint8Array(patterns.length);
      return { matched: evaluate(path, parent, flags), flags };
    },
    mayMatchBelow: ordinaryBelow,
    mayExceptBelow: exceptBelow,
  };
}

function hitsParent(pattern: Pattern, path: string): boolean {
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    if (pattern.test(path.slice(0, slash))) return true;
  }
  return false;
}

/** Decides by prefixes if the patterns are plain paths, but for a final `/*` or `/**`. */
function below(patterns: readonly Pattern[]): (directory: string) => boolean {
  const plain = patterns.map(pattern => pattern.text.replace(/\/\*\*?$/, ''));
  if (plain.some(text => /[*?[\]^\\]/.test(text))) return () => true;
  return directory => plain.some(text => `${text}/`.startsWith(`${directory}/`));
}

function compilePattern(source: string): Pattern | undefined {
  const trimmed = trimGoSpace(source);
  if (trimmed === '') return undefined;
  let text = cleanPath(trimmed);
  const exception = text.startsWith('!');
  if (exception) text = text.slice(1);
  if (text === '') throw new PatternSyntaxError(source, 'illegal exclusion pattern: "!"');
  checkPathPattern(text);
  return { exception, text, test: compileTest(text) };
}

function compileTest(text: string): (path: string) => boolean {
  if (!/[*?[\]\\]/.test(text)) return path => path === text;
  const plain = text.replace(/^\*\*|\*\*$/, '');
  if (!/[*?[\]\\]/.test(plain)) {
    if (text === '**') return () => true;
    if (text.endsWith('**')) return path => path.startsWith(plain);
    if (text.startsWith('**')) {
      const whole = plain.startsWith('/') ? plain.slice(1) : undefined;
      return path => path.endsWith(plain) || path === whole;
    }
  }
  // An expression that RE2 rejects fails when a path is tried, not before.
  let test: ((path: string) => boolean) | undefined;
  return path => {
    test ??= compileRe2(expressionOf(text));
    return test(path);
  };
}

/**
 * The regular expression of a pattern, in RE2's syntax. `|`, `{` and `}` are meant to be escaped too, but the matcher that we
 * follow forgets them.
 */
function expressionOf(text: string): string {
  // A byte order mark at the start is dropped there, too.
  const pattern = text.replace(/^\ufeff/, '');
  const body = pattern.replace(/\*\*\/?$|\*\*\/?|[*?.+()$]|\\./gsu, (token, at: number) => {
    if (token.startsWith('**')) return at + token.length === pattern.length ? '.*' : '(.*/)?';
    if (token === '*') return '[^/]*';
    if (token === '?') return '[^/]';
    return token.startsWith('\\') ? token : `\\${token}`;
  });
  return `^${body}$`;
}
