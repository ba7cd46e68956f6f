import { isGoSpace, trimGoSpace, trimGoSpaceStart } from '../../wire/fsutil/go-path.ts';
import type { InstructionNode, ParsedFile } from './node.ts';
import { positionAt, type SourcePosition, type SourceSegment } from './source.ts';
import { splitCommandLine, splitOnce } from './words.ts';

/**
 * What a token is: a parser directive, a comment, the keyword of an instruction (also of the one that ONBUILD keeps), a word
 * that begins with `--`, an argument, the escape character at the end of a line that goes on, the body of a heredoc, the line
 * that ends it.
 */
export type TokenKind =
  | 'directive'
  | 'comment'
  | 'keyword'
  | 'flag'
  | 'argument'
  | 'continuation'
  | 'heredoc'
  | 'terminator';

/** A piece of a Dockerfile. One that goes on over lines has the whole of them between its ends. */
export interface Token {
  readonly kind: TokenKind;
  /** As written, but joined where lines go on. Strings of JSON have their quotes. */
  readonly text: string;
  readonly start: SourcePosition;
  /** The place behind the last character. */
  readonly end: SourcePosition;
  /** The index in `ParsedFile.nodes` of the instruction that it belongs to; undefined between instructions. */
  readonly node: number | undefined;
}

/** A piece of a logical line. */
interface Piece {
  readonly kind: TokenKind;
  readonly offset: number;
  readonly length: number;
}

const WHOLE = new Set(['maintainer', 'stopsignal', 'user', 'workdir', 'run', 'cmd', 'entrypoint', 'shell']);
const NAMED = new Set(['env', 'label']);
const QUOTED = new Set(['arg', 'env', 'label']);
const KNOWN = new Set([...WHOLE, ...QUOTED, 'add', 'copy', 'expose', 'from', 'healthcheck', 'onbuild', 'volume']);
const JSON_STRING = /"(?:\\.|[^"\\])*"/gs;
const NO_BLANKS = /[^\t\v\f\r ]+/g;

/**
 * Every token of a file, in the order of the text; `file` is what parseFile made of `source`. Between them are only blanks, line
 * ends, and the brackets and commas of JSON. Arguments are those of the instruction: of a shell form there is one. Columns do not count a byte
 * order mark.
 */
export function listTokens(source: string, file: ParsedFile): Token[] {
  const lines = source.replace(/^\ufeff/, '').split('\n');
  const directives = new Set(file.directives.map(directive => directive.line));
  const tokens: Token[] = [];
  let line = 1;
  for (const [index, node] of file.nodes.entries()) {
    for (; line < node.lines.start; line++) addComment(line, undefined);
    const own: Token[] = [];
    for (const { kind, offset, length } of piecesOf(node, file.escape)) {
      own.push({ kind, ...placeOf(node.segments, offset, length, node.original), node: index });
    }
    addContinuations(node, index, own);
    addHeredocs(node, index, own);
    tokens.push(...own.sort(byPlace));
    line = node.lines.end + 1;
  }
  for (; line <= lines.length; line++) addComment(line, undefined);
  return tokens;

  function addComment(number: number, node: number | undefined, to = tokens): void {
    const text = (lines[number - 1] ?? '').replace(/\r+$/, '');
    const comment = trimGoSpaceStart(text);
    if (!comment.startsWith('#')) return;
    const kind = directives.has(number) ? 'directive' : 'comment';
    to.push({ kind, text: comment, ...onLine(number, text.length - comment.length + 1, comment.length), node });
  }

  /** The marks at the ends of lines, and the comments in between. */
  function addContinuations(node: InstructionNode, index: number, to: Token[]): void {
    const last = lastLineOf(node);
    const bySegment = new Map(node.segments.map((segment, at) => [segment.position.line, at]));
    for (let number = node.lines.start; number <= last; number++) {
      const at = bySegment.get(number);
      const segment = at === undefined ? undefined : node.segments[at];
      if (at === undefined || segment === undefined) {
        addComment(number, index, to);
        continue;
      }
      const length = (node.segments[at + 1]?.offset ?? node.original.length) - segment.offset;
      const column = segment.position.column + length;
      if (lines[number - 1]?.[column - 1] !== file.escape) continue;
      to.push({ kind: 'continuation', text: file.escape, ...onLine(number, column, 1), node: index });
    }
  }

  function addHeredocs(node: InstructionNode, index: number, to: Token[]): void {
    let number = node.lines.end;
    for (const { content } of node.heredocs.toReversed()) {
      const text = (lines[number - 1] ?? '').replace(/\r+$/, '');
      to.push({ kind: 'terminator', text, ...onLine(number, 1, text.length), node: index });
      const first = number - countLines(content);
      const body = { start: { line: first, column: 1 }, end: { line: number, column: 1 } };
      if (content !== '') to.push({ kind: 'heredoc', text: content, ...body, node: index });
      number = first - 1;
    }
  }
}

function byPlace(a: Token, b: Token): number {
  return a.start.line - b.start.line || a.start.column - b.start.column;
}

function onLine(line: number, column: number, length: number): { start: SourcePosition; end: SourcePosition } {
  return { start: { line, column }, end: { line, column: column + length } };
}

/** The last line before the bodies of heredocs. */
function lastLineOf({ lines, heredocs }: InstructionNode): number {
  return heredocs.reduce((line, { content }) => line - countLines(content) - 1, lines.end);
}

function countLines(content: string): number {
  return content.split('\n').length - 1;
}

function placeOf(
  segments: readonly SourceSegment[],
  offset: number,
  length: number,
  original: string,
): Pick<Token, 'text' | 'start' | 'end'> {
  // The place behind the last character is not that of the next one, which may stand on another line.
  const last = positionAt(segments, offset + length - 1);
  return {
    text: original.slice(offset, offset + length),
    start: positionAt(segments, offset),
    end: { line: last.line, column: last.column + 1 },
  };
}

function piecesOf(node: InstructionNode, escapeChar: string): Piece[] {
  const { original } = node;
  const start = original.length - trimGoSpaceStart(original).length;
  const { keyword, rest } = splitCommandLine(original, escapeChar);
  if (keyword === '') return [];
  const end = trimGoSpace(original).length + start;
  const restAt = Math.max(start + keyword.length, end - rest.length);
  const pieces: Piece[] = [{ kind: 'keyword', offset: start, length: keyword.length }];
  pieces.push(...flagsIn(original, start + keyword.length, restAt, escapeChar));
  const { trigger } = node;
  if (trigger !== undefined) {
    const inner = piecesOf(trigger, escapeChar);
    pieces.push(...inner.map(piece => ({ ...piece, offset: piece.offset + restAt })));
  } else if (rest !== '') {
    pieces.push(...argumentsIn(node, rest, escapeChar).map(piece => ({ ...piece, offset: piece.offset + restAt })));
  }
  return pieces;
}

function argumentsIn(node: InstructionNode, rest: string, escapeChar: string): Piece[] {
  const keyword = node.keyword.toLowerCase();
  const argument = (offset: number, length: number): Piece => ({ kind: 'argument', offset, length });
  const matches = (expression: RegExp, from = 0): Piece[] =>
    [...rest.slice(from).matchAll(expression)].map(match => argument(from + match.index, match[0].length));
  if (keyword === 'healthcheck') {
    const type = /^\S+/.exec(rest)?.[0].length ?? 0;
    const command = type + (rest.slice(type).length - trimGoSpaceStart(rest.slice(type)).length);
    const others = node.json ? matches(JSON_STRING, command) : [argument(command, rest.length - command)];
    return [argument(0, type), ...(command < rest.length ? others : [])];
  }
  if (node.json) return matches(JSON_STRING);
  if (WHOLE.has(keyword) || !KNOWN.has(keyword)) return [argument(0, rest.length)];
  if (!QUOTED.has(keyword)) return matches(NO_BLANKS);
  const isLegacy = NAMED.has(keyword) && node.args[2] === '';
  const parts = isLegacy ? splitOnce(rest) : undefined;
  if (parts === undefined) return quotedWordsIn(rest, escapeChar);
  const [name, value] = parts;
  return [argument(0, name.length), ...(value === '' ? [] : [argument(rest.length - value.length, value.length)])];
}

/** Words between white space; quotes group, the escape character takes the next one along. */
function quotedWordsIn(text: string, escapeChar: string): Piece[] {
  return wordsIn(text, 0, text.length, 'argument', (at, quote) => text[at] === escapeChar && quote !== "'");
}

function flagsIn(text: string, start: number, end: number, escapeChar: string): Piece[] {
  return wordsIn(text, start, end, 'flag', at => text[at] === escapeChar);
}

function wordsIn(
  text: string,
  start: number,
  end: number,
  kind: TokenKind,
  isEscape: (at: number, quote: string) => boolean,
): Piece[] {
  const pieces: Piece[] = [];
  let from = -1;
  let quote = '';
  for (let at = start; at < end; at++) {
    const char = text[at] ?? '';
    if (quote === '' && isGoSpace(text.charCodeAt(at))) {
      if (from >= 0) pieces.push({ kind, offset: from, length: at - from });
      from = -1;
      continue;
    }
    if (from < 0) from = at;
    if (isEscape(at, quote)) at++;
    else if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
  }
  if (from >= 0) pieces.push({ kind, offset: from, length: end - from });
  return pieces;
}
