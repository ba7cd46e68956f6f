import { PatternSyntaxError } from './path-match.ts';

/** First and last code point, inclusive. */
type Range = readonly [number, number];

const MAX_CODE_POINT = 0x10ffff;
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
 * Compiles the part of RE2's syntax that translated ignore patterns can hold (literals, `.`, `^`, `$`, groups, `*`, `?`,
 * classes, escapes; https://github.com/google/re2/wiki/Syntax) to a RegExp of the same meaning. Braces are always escaped in
 * them, so there is no `\x{…}` and no `\p{…}`.
 *
 * Throws PatternSyntaxError where RE2 rejects the text.
 */
export function compileRe2(text: string): RegExp {
  const chars = Array.from(text);
  const fail = (): never => {
    throw new PatternSyntaxError(text);
  };
  let at = 0;
  let out = '';
  while (at < chars.length) {
    const char = chars[at] ?? '';
    if (char === '\\') {
      out += escapeSequence();
    } else if (char === '[') {
      at++;
      out += charClass();
    } else {
      at++;
      if (char === '.') out += '[^\\n]';
      else if ('^$()*?'.includes(char)) out += char === '(' ? '(?:' : char;
      else out += literal(codePoint(char));
    }
  }
  try {
    return new RegExp(out, 'u');
  } catch (cause) {
    throw new PatternSyntaxError(text, undefined, { cause });
  }

  function escapeSequence(): string {
    const next = chars[at + 1] ?? '';
    if (next === 'Q') return quoted();
    if (next === 'A' || next === 'z' || next === 'b' || next === 'B') {
      at += 2;
      return next === 'A' ? '^' : next === 'z' ? '$' : `\\${next}`;
    }
    const set = setEscape();
    if (set !== undefined) return `[${set}]`;
    return literal(charEscape());
  }

  function quoted(): string {
    let end = at + 2;
    while (end < chars.length && !(chars[end] === '\\' && chars[end + 1] === 'E')) end++;
    const body = chars.slice(at + 2, end);
    at = end + 2;
    return body.map(char => literal(codePoint(char))).join('');
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
    const category = chars[at + 2] ?? fail();
    if (!'CLMNPSZ'.includes(category)) fail();
    at += 3;
    return `\\${next}{${category}}`;
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
