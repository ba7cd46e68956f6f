/** A pattern that is not well formed; the message is the one Go's `path.Match` gives. */
export class PatternSyntaxError extends Error {
  override readonly name = 'PatternSyntaxError';
  /** The pattern as given. */
  readonly pattern: string;

  constructor(pattern: string, message = 'syntax error in pattern', options?: ErrorOptions) {
    super(message, options);
    this.pattern = pattern;
  }
}

interface CharClass {
  readonly negated: boolean;
  /** Pairs of first and last code point. A pair in the wrong order matches nothing. */
  readonly ranges: readonly (readonly [number, number])[];
}

/** A code point that stands for itself, any code point but `/`, or a class. */
type Term = number | 'any' | CharClass;

/** Terms between two stars; `star` says whether a star stands before them. */
interface Chunk {
  readonly star: boolean;
  readonly terms: readonly Term[];
}

/**
 * Compiles a shell pattern as Go's `path.Match` reads it (package `path`, func Match): `*` is any run without `/`, `?` one
 * code point but `/`, `[a-z]` and `[^a-z]` one code point of a class (`/` included), `\` takes the next one literally.
 * The result tells whether the whole of a path matches.
 *
 * Throws PatternSyntaxError for an unclosed or empty class, a class with a stray `-`, and a final `\`.
 */
export function compilePathPattern(pattern: string): (path: string) => boolean {
  const chunks = parse(pattern);
  const [only] = chunks;
  if (only === undefined) return path => path === '';
  if (chunks.length === 1 && !only.star && only.terms.every(term => typeof term === 'number')) {
    const text = String.fromCodePoint(...only.terms.filter(term => typeof term === 'number'));
    return path => path === text;
  }
  return path => matchChunks(chunks, Array.from(path, codePointOf));
}

/** Whether the whole of `path` matches `pattern`; see compilePathPattern, which is the one to use for many paths. */
export function matchPath(pattern: string, path: string): boolean {
  return compilePathPattern(pattern)(path);
}

/** Whether `path` has an unescaped `*`, `?` or `[`, so that it is a pattern rather than a path. */
export function hasPathWildcard(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const char = path[i];
    if (char === '\\') i++;
    else if (char === '*' || char === '?' || char === '[') return true;
  }
  return false;
}

/**
 * Checks the syntax of a pattern as matching it against `.` does in Go (package `path/filepath`, func Match): what stands
 * after the first run of terms that does not match is not looked at.
 *
 * Throws PatternSyntaxError.
 */
export function checkPathPattern(pattern: string): void {
  let name = Array.from('.', codePointOf);
  for (let rest = pattern; rest !== ''; ) {
    const [, stars = '', chunk = ''] = CHUNK.exec(rest) ?? [];
    rest = rest.slice(stars.length + chunk.length);
    if (chunk === '') return;
    const terms = parse(chunk, pattern).flatMap(part => part.terms);
    const starts = stars === '' ? [0] : Array.from({ length: name.length + 1 }, (_, at) => at);
    const start = starts.find(at => {
      const end = at + terms.length;
      return end <= name.length && termsMatch(terms, name, at) && (end === name.length || rest !== '');
    });
    if (start === undefined) return;
    name = name.slice(start + terms.length);
  }
}

/** Stars, and what stands up to the next one that is in no class. */
const CHUNK = /^(\**)((?:\\.|\[(?:\\.|[^\]\\])*(?:\]|\\?$)|[^*[])*)/su;

function codePointOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}

/** The runs of terms of `pattern`, which may be a part of the `whole` that errors name. */
function parse(pattern: string, whole = pattern): Chunk[] {
  const chars = Array.from(pattern);
  const chunks: Chunk[] = [];
  let terms: Term[] = [];
  let star = false;
  let at = 0;

  const next = (): string => {
    const char = chars[at++];
    if (char === undefined) throw new PatternSyntaxError(whole);
    return char;
  };
  const classMember = (): number => {
    const char = next();
    if (char === '-' || char === ']') throw new PatternSyntaxError(whole);
    return codePointOf(char === '\\' ? next() : char);
  };
  const charClass = (): CharClass => {
    const negated = chars[at] === '^';
    if (negated) at++;
    const ranges: [number, number][] = [];
    while (ranges.length === 0 || chars[at] !== ']') {
      const first = classMember();
      if (chars[at] !== '-') {
        ranges.push([first, first]);
      } else {
        at++;
        ranges.push([first, classMember()]);
      }
    }
    at++;
    return { negated, ranges };
  };

  while (at < chars.length) {
    const char = next();
    if (char === '*') {
      if (terms.length > 0) chunks.push({ star, terms });
      terms = [];
      star = true;
    } else if (char === '?') {
      terms.push('any');
    } else if (char === '[') {
      terms.push(charClass());
    } else {
      terms.push(codePointOf(char === '\\' ? next() : char));
    }
  }
  if (star || terms.length > 0) chunks.push({ star, terms });
  return chunks;
}

const SLASH = 0x2f;

function matchChunks(chunks: readonly Chunk[], path: readonly number[]): boolean {
  let at = 0;
  for (const [index, { star, terms }] of chunks.entries()) {
    const last = index === chunks.length - 1;
    if (last && terms.length === 0) return !path.includes(SLASH, at);
    // The leftmost place is enough for all but the last chunk, which has to end where the path ends.
    for (;;) {
      const matches = at + terms.length <= path.length && termsMatch(terms, path, at);
      if (matches && (!last || at + terms.length === path.length)) break;
      if (!star || at >= path.length || path[at] === SLASH) return false;
      at++;
    }
    at += terms.length;
  }
  return at === path.length;
}

function termsMatch(terms: readonly Term[], path: readonly number[], at: number): boolean {
  return terms.every((term, offset) => {
    const char = path[at + offset] ?? -1;
    if (typeof term === 'number') return char === term;
    if (term === 'any') return char !== SLASH;
    return term.ranges.some(([first, last]) => first <= char && char <= last) !== term.negated;
  });
}
