import type { TracedVertex } from './trace.ts';

const CANCELED = 'context canceled';

/** Whether a vertex's error only says that the build was canceled. */
export function isCanceled(error: string): boolean {
  return error.endsWith(CANCELED);
}

/** For each failed vertex its name and the log lines that `linesOf` gives, between rules of dashes; each character a byte. */
export function errorBlocks(
  vertexes: readonly TracedVertex[],
  linesOf: (vertex: TracedVertex) => readonly string[],
): string {
  let text = '';
  for (const vertex of vertexes) {
    if (vertex.error === '' || isCanceled(vertex.error)) continue;
    text += `------\n > ${toBytes(vertex.name)}:\n`;
    for (const line of linesOf(vertex)) text += `${line}\n`;
    text += '------\n';
  }
  return text;
}

/** A text as a string in which each character is one byte of its UTF-8 form. */
export function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}
