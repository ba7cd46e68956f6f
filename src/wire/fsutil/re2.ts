import { compileLinearMatch, type ExpressionNode } from './linear-match.ts';
import { PatternSyntaxError } from './path-match.ts';

/** First and last code point, inclusive. */
type Range = readonly [number, number];

const MAX_CODE_POINT = 0x10ffff;
/** Repetitions that the engine of the language may try one inside the other: its time grows with their power. */
const MOST_REPEATS = 2;
/** The most times of `{n,m}` in RE2. */
const MOST_TIMES = 1000;
/** What is longer is no repetition that could be allowed. */
const MOST_BRACES = 30;
const PLACES: ReadonlyMap<string, 'start' | 'end' | 'boundary' | 'noBoundary'> = new Map([
  ['^', 'start'],
  ['$', 'end'],
  ['\\b', 'boundary'],
  ['\\B', 'noBoundary'],
]);
const POSIX: ReadonlyMap<string, readonly Range[]> = new Map<string, readonly Range[]>([
  ['alnum', [range('0', '9'), range('A', 'Z'), range('a', 'z')]],
  ['alpha', [range('A', 'Z'), range('a', 'z')]],
  ['ascii', [[0, 0x7f]]],
  ['blank', [range('\t', '\t'), range(' ', ' ')]],
  ['cntrl', [[0, 0x1f], range('\x7f', '\x7f')]],
  ['digit', [range('0', '9')]],
  ['graph', [range('!', '~')]],
  ['lower', [range('a', 'z')]],
  ['print', [range(' ', '~')]],
  ['punct', [range('!', '/'), range(':', '@'), range('[', '`'), range('{', '~')]],
  ['space', [range('\t', '\r'), range(' ', ' ')]],
  ['upper', [range('A', 'Z')]],
  ['word', [range('0', '9'), range('A', 'Z'), range('a', 'z'), range('_', '_')]],
  ['xdigit', [range('0', '9'), range('A', 'F'), range('a', 'f')]],
]);
const PERL: ReadonlyMap<string, readonly Range[]> = new Map<string, readonly Range[]>([
  ['d', [range('0', '9')]],
  ['s', [range('\t', '\n'), range('\f', '\r'), range(' ', ' ')]],
  ['w', [range('0', '9'), range('A', 'Z'), range('a', 'z'), range('_', '_')]],
]);
const CONTROL: ReadonlyMap<string, number> = new Map([
  ['a', 7],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
  ['v', 11],
]);

/**
 * Compiles the part of RE2's syntax that translated ignore patterns can hold (literals, `.`, `^`, `$`, groups without
 * alternatives, `|` outside of them, `*`, `?`, `{n,m}`, classes, escapes; https://github.com/google/re2/wiki/Syntax). The
 * expression begins with `^` and ends with `$`. The result takes time in proportion to what it is given, as RE2 does.
 *
 * Throws PatternSyntaxError where RE2 rejects the text.
 */
export function compileRe2(text: string): (given: string) => boolean {
  const chars = Array.from(text);
  const fail = (): never => {
    throw new PatternSyntaxError(text);
  };
  let at = 0;
  let out = '';
  let repeats = 0;
  /** Whether the engine of the language reads it otherwise. */
  let isSpecial = false;
  /** Where the last operator that repeats ended: another one may not follow. */
  let repeatEnd = -1;
  const groups: ExpressionNode[][] = [[]];
  const branches: ExpressionNode[][] = [];
  while (at < chars.length) {
    const char = chars[at] ?? '';
    if (char === '{' && repetition()) continue;
    if (char === '\\') {
      for (const atom of escapeSequence()) add(atom);
    } else if (char === '[') {
      at++;
      add(charClass());
    } else {
      at++;
      operator(char);
    }
  }
  const whole: ExpressionNode = { kind: 'either', nodes: [...branches, groups[0] ?? []].map(anywhere) };
  if (isSpecial) return compileLinearMatch(whole);
  let expression: RegExp;
  try {
    expression = new RegExp(out, 'u');
  } catch (cause) {
    throw new PatternSyntaxError(text, undefined, { cause });
  }
  // It tries what it repeats in all combinations.
  if (repeats <= MOST_REPEATS) return given => expression.test(given);
  return compileLinearMatch(whole);

  /** Reads `{n}`, `{n,}` or `{n,m}`; anything else is not one. */
  function repetition(): boolean {
    const match = /^\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}/.exec(chars.slice(at, at + MOST_BRACES).join(''));
    if (match === null) return false;
    const least = Number(match[1]);
    const most = match[2] === undefined ? least : match[3] === undefined ? undefined : Number(match[3]);
    if (least > MOST_TIMES || (most !== undefined && (most > MOST_TIMES || most < least))) fail();
    const nodes = groups.at(-1) ?? fail();
    const node = nodes.pop() ?? fail();
    if (repeatEnd === at) fail();
    at += match[0].length;
    repeatEnd = at;
    isSpecial = true;
    for (let times = 0; times < least; times++) nodes.push(node);
    if (most === undefined) nodes.push({ kind: 'many', node });
    else for (let times = least; times < most; times++) nodes.push({ kind: 'optional', node });
    return true;
  }

  function operator(char: string): void {
    if (char === '|') {
      branches.push(groups.pop() ?? []);
      groups.push([]);
      isSpecial = true;
    } else if (char === '(') {
      out += '(?:';
      groups.push([]);
    } else if (char === ')') {
      out += char;
      const nodes = groups.length > 1 ? (groups.pop() ?? []) : [];
      groups.at(-1)?.push({ kind: 'sequence', nodes });
    } else if (char === '*' || char === '?') {
      out += char;
      if (char === '*') repeats++;
      const nodes = groups.at(-1);
      const node = nodes?.pop();
      if (node) nodes?.push({ kind: char === '*' ? 'many' : 'optional', node });
      repeatEnd = at;
    } else if (char === '.') add('[^\\n]');
    else add(char === '^' || char === '$' ? char : literal(codePoint(char)));
  }

  /** Adds what stands for one character, or for a place between two. */
  function add(atom: string): void {
    out += atom;
    const kind = PLACES.get(atom);
    const single = new RegExp(`^${atom}$`, 'u');
    groups.at(-1)?.push(kind === undefined ? { kind: 'one', test: char => single.test(char) } : { kind });
  }

  function escapeSequence(): string[] {
    const next = chars[at + 1] ?? '';
    if (next === 'Q') return quoted();
    if (next === 'A' || next === 'z' || next === 'b' || next === 'B') {
      at += 2;
      return [next === 'A' ? '^' : next === 'z' ? '$' : `\\${next}`];
    }
    const set = setEscape();
    if (set !== undefined) return [`[${set}]`];
    return [literal(charEscape())];
  }

  function quoted(): string[] {
    let end = at + 2;
    while (end < chars.length && !(chars[end] === '\\' && chars[end + 1] === 'E')) end++;
    const body = chars.slice(at + 2, end);
    at = end + 2;
    return body.map(char => literal(codePoint(char)));
  }

  /** `\d`, `\W`, `\pL` as the inside of a class; undefined if no such escape stands here. */
  function setEscape(): string | undefined {
    const next = chars[at + 1] ?? '';
    const perl = PERL.get(next.toLowerCase());
    if (perl !== undefined) {
      at += 2;
      return members(next === next.toLowerCase() ? perl : complement(perl));
    }
    if (next !== 'p' && next !== 'P') return undefined;
    const braced = /^\{(\^?)([\w -]+)\}/.exec(chars.slice(at + 2, at + MOST_BRACES).join(''));
    const name = braced?.[2] ?? chars[at + 2] ?? fail();
    const property = propertyOf(name) ?? fail();
    at += 2 + (braced?.[0].length ?? 1);
    const isNegated = (next === 'P') !== (braced?.[1] === '^');
    return `\\${isNegated ? 'P' : 'p'}{${property}}`;
  }

  function charEscape(): number {
    const next = chars[at + 1] ?? fail();
    at += 2;
    const control = CONTROL.get(next);
    if (control !== undefined) return control;
    if (next === 'x') return hexEscape();
    if (/[0-7]/.test(next)) {
      let digits = next;
      while (digits.length < 3 && /^[0-7]$/.test(chars[at] ?? '')) digits += chars[at++];
      // A single digit from 1 on would be a backreference.
      if (next !== '0' && digits.length < 2) fail();
      return Number.parseInt(digits, 8);
    }
    if (!/^[\0-\x7f]$/.test(next) || /[0-9A-Za-z]/.test(next)) fail();
    return codePoint(next);
  }

  function hexEscape(): number {
    const braced = /^\{([0-9A-Fa-f]+)\}/.exec(chars.slice(at, at + MOST_BRACES).join(''));
    if (braced !== null) {
      at += braced[0].length;
      const code = Number.parseInt(braced[1] ?? '', 16);
      return code <= MAX_CODE_POINT ? code : fail();
    }
    const digits = chars.slice(at, at + 2).join('');
    at += 2;
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) fail();
    return Number.parseInt(digits, 16);
  }

  function charClass(): string {
    const negated = chars[at] === '^';
    if (negated) at++;
    let inside = '';
    for (let first = true; first || chars[at] !== ']'; first = false) inside += classMember();
    at++;
    return `[${negated ? '^' : ''}${inside}]`;
  }

  function classMember(): string {
    if (chars[at] === '[' && chars[at + 1] === ':') {
      const end = chars.findIndex((char, index) => index > at + 1 && char === ':' && chars[index + 1] === ']');
      if (end > 0) {
        const name = chars.slice(at + 2, end).join('');
        const ranges = POSIX.get(name.replace(/^\^/, '')) ?? fail();
        at = end + 2;
        return members(name.startsWith('^') ? complement(ranges) : ranges);
      }
    }
    const set = chars[at] === '\\' ? setEscape() : undefined;
    if (set !== undefined) return set;
    const first = classChar();
    if (chars[at] !== '-' || chars[at + 1] === undefined || chars[at + 1] === ']') return literal(first);
    at++;
    const last = classChar();
    if (last < first) fail();
    return members([[first, last]]);
  }

  function classChar(): number {
    const char = chars[at] ?? fail();
    if (char === '\\') return charEscape();
    at++;
    return codePoint(char);
  }
}

/** The long names of general categories, by what Go makes of them. */
const CATEGORIES = new Map(
  `Cased_Letter Close_Punctuation Combining_Mark Connector_Punctuation Control Currency_Symbol Dash_Punctuation
  Decimal_Number Enclosing_Mark Final_Punctuation Format Initial_Punctuation Letter Letter_Number Line_Separator
  Lowercase_Letter Mark Math_Symbol Modifier_Letter Modifier_Symbol Nonspacing_Mark Number Open_Punctuation Other
  Other_Letter Other_Number Other_Punctuation Other_Symbol Paragraph_Separator Private_Use Punctuation Separator
  Space_Separator Spacing_Mark Surrogate Symbol Titlecase_Letter Unassigned Uppercase_Letter cntrl digit punct LC`
    .split(/\s+/)
    .map(name => [canonicalName(name), name]),
);
/** Scripts with names as short as the codes of others, which Go does not know. */
const SHORT_SCRIPTS = new Set('Ahom Cham Han Kawi Lao Lisu Miao Modi Mro Newa Nko Thai Toto Vai Yi'.split(' '));
const SETS = new Map([
  ['Any', 'Any'],
  ['Assigned', 'Assigned'],
  ['Ascii', 'ASCII'],
]);

/**
 * What a name means to JavaScript: a general category, a script, or one of three sets, as Go 1.26 finds them, whatever the
 * case, blanks and hyphens. It finds no script of several words (`Old_Italic`) any more; here they keep the names that they had.
 * Undefined if there is nothing of that name.
 */
function propertyOf(name: string): string | undefined {
  const canonical = canonicalName(name);
  const set = SETS.get(canonical);
  if (set !== undefined) return set;
  const scripts = [canonical, name].filter(one => one !== 'Unknown' && (one.length > 4 || SHORT_SCRIPTS.has(one)));
  const category = CATEGORIES.get(canonical) ?? (canonical.length <= 2 ? canonical : undefined);
  const properties = [
    ...(category === undefined ? [] : [`General_Category=${category}`]),
    ...scripts.map(one => `Script=${one}`),
  ];
  return properties.find(isProperty);
}

function canonicalName(name: string): string {
  const letters = name.replaceAll(/[ _-]/g, '');
  return `${letters.slice(0, 1).toUpperCase()}${letters.slice(1).toLowerCase()}`;
}

function isProperty(property: string): boolean {
  try {
    return new RegExp(`\\p{${property}}`, 'u').source !== '';
  } catch {
    return false;
  }
}

/** A branch of an alternative: only what `^` and `$` in it say ties it to the ends. */
function anywhere(nodes: readonly ExpressionNode[]): ExpressionNode {
  const any: ExpressionNode = { kind: 'many', node: { kind: 'one', test: () => true } };
  return { kind: 'sequence', nodes: [any, ...nodes, any] };
}

function codePoint(char: string): number {
  return char.codePointAt(0) ?? 0;
}

function range(first: string, last: string): Range {
  return [codePoint(first), codePoint(last)];
}

function literal(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

function members(ranges: readonly Range[]): string {
  return ranges.map(([first, last]) => `${literal(first)}-${literal(last)}`).join('');
}

/** What the ranges, sorted and apart, leave out. */
function complement(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  let next = 0;
  for (const [first, last] of ranges) {
    if (first > next) out.push([next, first - 1]);
    next = last + 1;
  }
  out.push([next, MAX_CODE_POINT]);
  return out;
}
