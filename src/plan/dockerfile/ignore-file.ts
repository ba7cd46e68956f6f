import { cleanPath, trimGoSpace } from '../../wire/fsutil/go-path.ts';

const MAX_LINE_BYTES = 65_535;

/** An ignore file that cannot be read as one. */
export class IgnoreFileError extends Error {
  override readonly name = 'IgnoreFileError';
}

/**
 * The patterns of an ignore file (`.dockerignore`, `<Dockerfile name>.dockerignore`), in order, cleaned, `!` kept in front,
 * comments and empty lines left out. They are for compilePatterns and createPathFilter, which check their syntax.
 *
 * Throws IgnoreFileError for a line of more than 65,535 bytes.
 */
export function readIgnoreFile(text: string): string[] {
  const patterns: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    // Three bytes are the most that a UTF-16 code unit takes.
    if (line.length > MAX_LINE_BYTES / 3 && Buffer.byteLength(line) > MAX_LINE_BYTES) {
      throw new IgnoreFileError('failed parsing .dockerignore: bufio.Scanner: token too long');
    }
    const content = index === 0 ? line.replace(/^\ufeff/, '') : line;
    if (content.startsWith('#')) continue;
    const pattern = trimGoSpace(content);
    if (pattern === '') continue;
    patterns.push(pattern.startsWith('!') ? `!${cleanPattern(trimGoSpace(pattern.slice(1)))}` : cleanPattern(pattern));
  }
  return patterns;
}

function cleanPattern(pattern: string): string {
  if (pattern === '') return '';
  const path = cleanPath(pattern);
  return path.length > 1 && path.startsWith('/') ? path.slice(1) : path;
}
