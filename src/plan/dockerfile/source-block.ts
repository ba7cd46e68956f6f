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
