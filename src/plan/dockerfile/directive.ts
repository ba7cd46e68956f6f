import { trimGoSpaceStart } from '../../wire/fsutil/go-path.ts';
import type { Directive } from './node.ts';

const DIRECTIVE = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=(.+)$/s;
const BLANKS_AROUND = /^[\t\n\f\r ]+|[\t\n\f\r ]+$/g;

/** The directive on a line without its end; undefined for any other line. */
export function parseDirectiveLine(line: string, mark: '#' | '//', lineNumber: number): Directive | undefined {
  if (!line.startsWith(mark)) return undefined;
  const match = DIRECTIVE.exec(trimGoSpaceStart(line.slice(mark.length)));
  const name = match?.[1]?.toLowerCase();
  const text = match?.[2];
  if (text === undefined || (name !== 'syntax' && name !== 'escape' && name !== 'check')) return undefined;
  // Of nothing but blanks the last one is the value.
  return { name, value: text.replace(BLANKS_AROUND, '') || text.slice(-1), line: lineNumber };
}

/** A frontend that a file or a build argument asks for. */
export interface SyntaxReference {
  /** The image reference: the value up to the first blank. */
  readonly ref: string;
  /** The whole value. */
  readonly cmdline: string;
  /** 0 for a file that is JSON. */
  readonly line: number;
}

/**
 * The external frontend that a file asks for: `# syntax=`, `// syntax=`, or a file that is a JSON object with a member
 * `syntax`. One `#!` line may stand before it.
 */
export function detectSyntax(text: string): SyntaxReference | undefined {
  const directive = findDirective(text, 'syntax', '#') ?? findDirective(text, 'syntax', '//');
  if (directive !== undefined) {
    return { ref: upToBlank(directive.value), cmdline: directive.value, line: directive.line };
  }
  const { body, firstLine } = afterShebang(text);
  const first = /[^\t\n\r ]/.exec(body);
  if (first?.[0] !== '{') return undefined;
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || !('syntax' in value)) return undefined;
    const { syntax } = value;
    return typeof syntax === 'string' ? { ref: syntax, cmdline: syntax, line: firstLine - 1 } : undefined;
  } catch {
    return undefined;
  }
}

/** The value of the `# check=` directive up to its first blank, and its line; undefined if there is none. */
export function detectCheck(
  text: string,
): { readonly value: string; readonly full: string; readonly line: number } | undefined {
  const directive = findDirective(text, 'check', '#');
  if (directive === undefined) return undefined;
  return { value: upToBlank(directive.value), full: directive.value, line: directive.line };
}

/** `value` up to its first blank, which is all that is used of a directive's value. */
export function upToBlank(value: string): string {
  const blank = value.indexOf(' ');
  return blank < 0 ? value : value.slice(0, blank);
}

function afterShebang(text: string): { body: string; firstLine: number } {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text;
  if (!body.startsWith('#!')) return { body, firstLine: 1 };
  const end = body.indexOf('\n');
  return { body: end < 0 ? '' : body.slice(end + 1), firstLine: 2 };
}

function findDirective(text: string, name: Directive['name'], mark: '#' | '//'): Directive | undefined {
  const { body, firstLine } = afterShebang(text);
  const seen = new Set<string>();
  let start = 0;
  for (let number = firstLine; start < body.length; number++) {
    const newline = body.indexOf('\n', start);
    const end = newline < 0 ? body.length : newline;
    const directive = parseDirectiveLine(body.slice(start, end).replace(/\r$/, ''), mark, number);
    if (directive === undefined || seen.has(directive.name)) return undefined;
    if (directive.name === name) return directive;
    seen.add(directive.name);
    start = end + 1;
  }
  return undefined;
}
