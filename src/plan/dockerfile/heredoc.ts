import { ExpansionError, splitWords } from './expand.ts';
import type { Heredoc } from './node.ts';

export type HeredocStart = Omit<Heredoc, 'content'>;

const HEREDOC = /^(\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/;
/** A name in which nothing can be quoted or split. */
const PLAIN_NAME = /^[\w.-]+$/;

/** The heredoc that a word begins, undefined if it begins none. Throws ExpansionError for a name that cannot be read. */
export function parseHeredocWord(word: string): HeredocStart | undefined {
  const match = HEREDOC.exec(word);
  const text = match?.[3];
  if (match === null || text === undefined || text === '') return undefined;
  const fileDescriptor = Number(match[1]);
  const chomp = match[2] === '-';
  if (PLAIN_NAME.test(text)) return { name: text, fileDescriptor, expand: true, chomp };
  const [name, ...others] = splitWords(text, { quotes: false, escapes: false });
  if (name === undefined || others.length > 0) return undefined;
  const [quoted = ''] = splitWords(text, { quotes: true, escapes: false });
  return { name, fileDescriptor, expand: countQuotes(name) === countQuotes(quoted), chomp };
}

/** The heredocs that a logical line begins, in order; none if the line cannot be split. Throws ExpansionError. */
export function findHeredocs(line: string): HeredocStart[] {
  if (!line.includes('<<')) return [];
  let words: readonly string[];
  try {
    words = splitWords(line, { quotes: true, escapes: true });
  } catch (error) {
    if (error instanceof ExpansionError) return [];
    throw error;
  }
  return words.flatMap(word => parseHeredocWord(word) ?? []);
}

/** `content` without the leading tabs of its lines. */
export function chompHeredoc(content: string): string {
  return content.replace(/(^|\n)\t+/g, '$1');
}

function countQuotes(text: string): number {
  return text.replace(/[^'"]/g, '').length;
}
