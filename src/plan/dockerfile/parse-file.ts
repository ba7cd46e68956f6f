import { isGoSpace, trimGoSpace, trimGoSpaceStart } from '../../wire/fsutil/go-path.ts';
import { parseDirectiveLine } from './directive.ts';
import { DockerfileError } from './error.ts';
import { ExpansionError } from './expand.ts';
import { findHeredocs, type HeredocStart } from './heredoc.ts';
import { LineReader } from './line-reader.ts';
import type { Directive, Heredoc, InstructionNode, ParsedFile, ParseWarning } from './node.ts';
import { parseNode } from './parse-node.ts';
import type { SourceSegment } from './source.ts';

/** A logical line: what continuations join. */
interface LogicalLine {
  readonly text: string;
  readonly firstLine: number;
  readonly segments: readonly SourceSegment[];
  /** The lines in between that only held space. */
  readonly hasBlankLine: boolean;
}

/** How a file is read. */
export interface ParseOptions {
  /** Whether `<<` begins a here-document, as it does but for the legacy builder. */
  readonly heredocs?: boolean;
}

/**
 * Splits a Dockerfile into instructions and their words. Bytes are read as UTF-8, invalid ones become U+FFFD.
 *
 * Throws DockerfileError for an empty file, a file without instructions, bad directives, a line of more than 65,535 bytes,
 * an unterminated heredoc, JSON arguments that are no strings, and ENV or LABEL words without `=`.
 */
export function parseFile(
  source: string | Uint8Array,
  { heredocs: hasHeredocs = true }: ParseOptions = {},
): ParsedFile {
  const text = decode(source);
  if (text === '') throw new DockerfileError('the Dockerfile cannot be empty', []);
  const reader = new LineReader(text);
  const directives: Directive[] = [];
  const nodes: InstructionNode[] = [];
  const warnings: ParseWarning[] = [];
  let escapeChar = '\\';
  let inDirectives = true;
  let comments: string[] = [];

  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    const content = trimGoSpaceStart(trimLineEnd(line));
    if (inDirectives && readDirective(content)) continue;
    if (content.startsWith('#')) {
      readComment(line);
      continue;
    }
    const logical = readLogicalLine(reader, line, content, escapeChar);
    if (logical === undefined) continue;
    if (logical.hasBlankLine) warnings.push(emptyContinuation(logical.text, reader.line));
    nodes.push(readNode(logical));
    comments = [];
  }
  if (nodes.length === 0) fail('file with no instructions', reader.line);
  if (reader.isTooLong) fail('dockerfile line greater than max allowed size of 65535', reader.line);
  return { escape: escapeChar, directives, nodes, warnings };

  function readDirective(content: string): boolean {
    const directive = parseDirectiveLine(content, '#', reader.line);
    if (directive === undefined) {
      inDirectives = false;
      return false;
    }
    const { name, value } = directive;
    // The place is one line too low: BuildKit counts the line only after it has read it.
    if (directives.some(known => known.name === name)) {
      fail(`only one ${name} parser directive can be used`, reader.line - 1);
    }
    if (name === 'escape') {
      if (value !== '`' && value !== '\\') {
        fail(`invalid escape token '${value}' does not match \` or \\`, reader.line - 1);
      }
      escapeChar = value;
    }
    directives.push(directive);
    return true;
  }

  function readComment(line: string): void {
    // The first character goes even where blanks stand before the mark, which then stays.
    const comment = trimGoSpace(line.slice(1));
    if (comment === '') comments = [];
    else comments.push(comment);
  }

  function readNode(logical: LogicalLine): InstructionNode {
    const start = logical.firstLine;
    try {
      const node = parseNode(logical.text, escapeChar);
      const heredocs =
        hasHeredocs && takesHeredocs(node) ? findHeredocs(logical.text).map(found => readHeredoc(found, start)) : [];
      return { ...node, lines: { start, end: reader.line }, segments: logical.segments, heredocs, comments };
    } catch (error) {
      if (!(error instanceof ExpansionError || error instanceof DockerfileError)) throw error;
      const word = error instanceof DockerfileError ? error.word : undefined;
      throw new DockerfileError(error.message, [{ start, end: reader.line }], { cause: error, word });
    }
  }

  function readHeredoc(start: HeredocStart, firstLine: number): Heredoc {
    const content: string[] = [];
    for (let line = reader.next(); line !== undefined; line = reader.next()) {
      const end = trimLineEnd(line);
      if ((start.chomp ? end.replace(/^\t+/, '') : end) === start.name) return { ...start, content: content.join('') };
      content.push(line);
    }
    throw new DockerfileError('unterminated heredoc', [{ start: firstLine, end: reader.line }]);
  }
}

function decode(source: string | Uint8Array): string {
  if (typeof source === 'string') return source.toWellFormed();
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(source);
}

function fail(message: string, line: number): never {
  throw new DockerfileError(message, [{ start: line, end: line }]);
}

function emptyContinuation(text: string, line: number): ParseWarning {
  return {
    short: `Empty continuation line found in: ${text}`,
    detail: 'Empty continuation lines will become errors in a future release',
    url: 'https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/',
    line,
  };
}

function trimLineEnd(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === '\n' || line[end - 1] === '\r')) end--;
  return line.slice(0, end);
}

/** Reads on while lines end in the escape character; undefined for a line of nothing but space. */
function readLogicalLine(
  reader: LineReader,
  line: string,
  content: string,
  escapeChar: string,
): LogicalLine | undefined {
  const firstLine = reader.line;
  let { part, goesOn } = splitContinuation(content, escapeChar);
  if (part === '' && !goesOn) return undefined;
  const parts = [part];
  const segments = [{ offset: 0, position: { line: firstLine, column: 1 + indentOf(line) } }];
  let length = part.length;
  let hasBlankLine = false;
  while (goesOn) {
    const next = reader.next();
    if (next === undefined) break;
    const first = firstNonSpace(next);
    if (first === '#') continue;
    if (first === '') {
      hasBlankLine = true;
      continue;
    }
    ({ part, goesOn } = splitContinuation(trimLineEnd(next), escapeChar));
    segments.push({ offset: length, position: { line: reader.line, column: 1 } });
    parts.push(part);
    length += part.length;
  }
  return { text: parts.join(''), firstLine, segments, hasBlankLine };
}

function indentOf(line: string): number {
  return line.length - trimGoSpaceStart(line).length;
}

function firstNonSpace(line: string): string {
  let at = 0;
  while (at < line.length && isGoSpace(line.charCodeAt(at))) at++;
  return line[at] ?? '';
}

/** Takes the escape character off the end of a line that goes on; one that is escaped itself does not count. */
function splitContinuation(line: string, escapeChar: string): { part: string; goesOn: boolean } {
  let end = line.length;
  while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--;
  const goesOn = line[end - 1] === escapeChar && line[end - 2] !== escapeChar;
  return goesOn ? { part: line.slice(0, end - 1), goesOn } : { part: line, goesOn };
}

function takesHeredocs(node: InstructionNode): boolean {
  const { keyword, json } = node.keyword.toLowerCase() === 'onbuild' ? (node.trigger ?? node) : node;
  return !json && /^(?:add|copy|run)$/i.test(keyword);
}
