import type { DockerfileError } from './error.ts';
import type { LineRange } from './source.ts';

const RULE = '--------------------';

/**
 * The lines around a place of a file, the place itself marked, as BuildKit prints them under an error or a warning; empty
 * if the place is not in the file. Ends in a newline.
 */
export function renderSourceBlock(fileName: string, text: string, range: LineRange): string {
  const lines = text.split('\n');
  let { start, end } = range;
  if (start < 1 || end > lines.length || end < start) return '';
  const most = start === end ? 4 : 2;
  for (let shown = 0; shown < most; shown++) {
    if (start > 1) {
      start--;
      shown++;
    }
    if (end < lines.length) {
      end++;
      shown++;
    }
  }
  const body = lines.slice(start - 1, end).map((line, index) => {
    const number = start + index;
    const mark = number >= range.start && number <= range.end ? '>>>' : '   ';
    return ` ${String(number).padStart(3)} | ${mark} ${line}`;
  });
  return [`${fileName}:${range.start}`, RULE, ...body, RULE, ''].join('\n');
}

/** The source blocks of an error in the order in which clients print them, outermost place first; without empty ones. */
export function renderErrorSource(fileName: string, text: string, error: DockerfileError): string {
  return error.locations
    .toReversed()
    .map(range => renderSourceBlock(fileName, text, range))
    .join('');
}

const PREFIX = /^dockerfile parse error on line \d+: /;
const BEFORE = 2;
const AFTER = 1;

/**
 * An error for people: file, line and message, then the lines around the place with what is wrong underlined. The innermost
 * place is shown; without one there is only the message. Ends in a newline.
 */
export function renderError(fileName: string, text: string, error: DockerfileError): string {
  const message = error.message.replace(PREFIX, '');
  const lines = text.split('\n').map(line => line.replace(/\r$/, ''));
  const range = error.locations.find(({ start, end }) => start >= 1 && end <= lines.length);
  if (range === undefined) return `${fileName}: ${message}\n`;
  const { number, column, length } = placeOf(lines, range, error.word);
  const last = text.endsWith('\n') ? lines.length - 1 : lines.length;
  const shown: string[] = [];
  for (let at = Math.max(1, number - BEFORE); at <= Math.min(last, number + AFTER); at++) {
    const line = lines[at - 1] ?? '';
    shown.push(` ${String(at).padStart(3)} | ${line}`.trimEnd());
    // Tabs are kept before the mark, so that it stands below what it marks.
    if (at === number) shown.push(`     | ${line.slice(0, column).replace(/[^\t]/g, ' ')}${'^'.repeat(length)}`);
  }
  return [`${fileName}:${number}: ${message}`, ...shown, ''].join('\n');
}

function placeOf(
  lines: readonly string[],
  range: LineRange,
  word: string | undefined,
): { number: number; column: number; length: number } {
  for (let number = range.start; word && number <= range.end; number++) {
    const column = wordIndex(lines[number - 1] ?? '', word);
    if (column >= 0) return { number, column, length: word.length };
  }
  const first = lines[range.start - 1] ?? '';
  const column = first.length - first.trimStart().length;
  return { number: range.start, column, length: Math.max(1, first.trim().length) };
}

/** Where `word` stands by itself in a line, -1 if it does not. */
function wordIndex(line: string, word: string): number {
  for (let at = line.indexOf(word); at >= 0; at = line.indexOf(word, at + 1)) {
    const [before = ' '] = line.slice(at - 1, at);
    const [after = ' '] = line.slice(at + word.length);
    if (/[\s"']/.test(before) && /[\s=,"']/.test(after)) return at;
  }
  return -1;
}
