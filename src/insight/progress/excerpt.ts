import type { SourceInfo, SourceRange } from '../../engine/status/event.ts';

/**
 * The lines of a file around the first of `ranges`, those inside marked, between rules of dashes, as buildx prints them in
 * front of an error; an empty text when no range points into the file.
 */
export function sourceExcerpt({ filename, data }: SourceInfo, ranges: readonly SourceRange[]): string {
  const lines = Buffer.from(data).toString().split(/\r?\n/);
  const marked = ranges.filter(
    ({ start, end }) => start.line <= end.line && start.line >= 1 && end.line <= lines.length,
  );
  if (marked.length === 0) return '';
  let first = Math.min(...marked.map(range => range.start.line));
  let last = Math.max(...marked.map(range => range.end.line));
  const label = `${filename}:${first}\n`;
  const wanted = first === last ? 4 : 2;
  for (let padded = 0; padded < wanted; padded++) {
    if (first > 1) {
      first--;
      padded++;
    }
    if (last < lines.length) {
      last++;
      padded++;
    }
  }
  const rule = `${'-'.repeat(20)}\n`;
  let text = label + rule;
  for (let line = first; line <= last; line++) {
    const inside = marked.some(({ start, end }) => line >= start.line && line <= end.line);
    text += ` ${String(line).padStart(3)} | ${inside ? '>>>' : '   '} ${lines[line - 1]}\n`;
  }
  return text + rule;
}
