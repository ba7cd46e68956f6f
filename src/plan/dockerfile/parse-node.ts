import { DockerfileError } from './error.ts';
import { goQuote } from './go-text.ts';
import type { InstructionNode } from './node.ts';
import { parseJsonWords, splitBlanks, splitCommandLine, splitFirstWord, splitOnce, splitQuotedWords } from './words.ts';

/** What the words of a line say, without their place in the file. */
interface Arguments {
  readonly args: readonly string[];
  readonly json?: boolean;
  readonly trigger?: InstructionNode;
}

/** How an instruction's arguments are split. */
type Shape = (rest: string, escapeChar: string, level: number) => Arguments;

/** Keeps `ONBUILD ONBUILD …`, which is refused later, from overflowing the stack. */
const MAX_LEVEL = 100;

const SHAPES: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['add', jsonOr(splitBlanks)],
  ['arg', (rest, escapeChar) => ({ args: splitQuotedWords(rest, escapeChar) })],
  ['cmd', jsonOr(whole)],
  ['copy', jsonOr(splitBlanks)],
  ['entrypoint', jsonOr(whole)],
  ['env', (rest, escapeChar) => ({ args: nameValues('ENV', rest, escapeChar) })],
  ['expose', rest => ({ args: splitBlanks(rest) })],
  ['from', rest => ({ args: splitBlanks(rest) })],
  ['healthcheck', healthCheck],
  ['label', (rest, escapeChar) => ({ args: nameValues('LABEL', rest, escapeChar) })],
  ['maintainer', rest => ({ args: whole(rest) })],
  ['onbuild', trigger],
  ['run', jsonOr(whole)],
  ['shell', jsonOr(whole)],
  ['stopsignal', rest => ({ args: whole(rest) })],
  ['user', rest => ({ args: whole(rest) })],
  ['volume', jsonOr(splitBlanks)],
  ['workdir', rest => ({ args: whole(rest) })],
]);

/** The keywords of the language, lower-case. */
export const KEYWORDS: readonly string[] = [...SHAPES.keys()];

const NOWHERE = { lines: { start: 0, end: 0 }, segments: [], heredocs: [], comments: [] };

/** Splits a logical line into an instruction's words. Throws DockerfileError without a location. */
export function parseNode(line: string, escapeChar: string, level = 0): InstructionNode {
  const { keyword, flags, rest } = splitCommandLine(line, escapeChar);
  const shape = SHAPES.get(keyword.toLowerCase());
  const { args, json = false, ...more } = shape === undefined ? { args: [''] } : shape(rest, escapeChar, level);
  return { keyword, original: line, flags, args, json, ...more, ...NOWHERE };
}

function whole(rest: string): string[] {
  return rest === '' ? [] : [rest];
}

function jsonOr(split: (rest: string) => readonly string[]): Shape {
  return rest => {
    const strings = parseJsonWords(rest);
    if (strings === 'mixed') {
      throw new DockerfileError('when using JSON array syntax, arrays must be comprised of strings only', []);
    }
    return strings === undefined ? { args: split(rest) } : { args: strings, json: true };
  };
}

function healthCheck(rest: string, escapeChar: string): Arguments {
  const [type, command] = splitFirstWord(rest);
  if (type === '') return { args: [] };
  const { args, ...more } = jsonOr(whole)(command, escapeChar, 0);
  return { args: [type, ...args], ...more };
}

function trigger(rest: string, escapeChar: string, level: number): Arguments {
  if (rest === '' || level > MAX_LEVEL) return { args: whole(rest) };
  const node = parseNode(rest, escapeChar, level + 1);
  return { args: [node.keyword, ...node.args], trigger: node };
}

function nameValues(keyword: string, rest: string, escapeChar: string): string[] {
  const words = splitQuotedWords(rest, escapeChar);
  const [first] = words;
  if (first === undefined) return [];
  if (!first.includes('=')) {
    const parts = splitOnce(rest);
    if (parts === undefined) throw new DockerfileError(`${keyword} must have two arguments`, []);
    return [...parts, ''];
  }
  return words.flatMap(word => {
    const equals = word.indexOf('=');
    if (equals < 0) {
      throw new DockerfileError(
        `Syntax error - can't find = in ${goQuote(word)}. Must be of the form: name=value`,
        [],
        { word },
      );
    }
    return [word.slice(0, equals), word.slice(equals + 1), '='];
  });
}
