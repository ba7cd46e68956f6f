/** A mode that `--chmod` cannot take. */
class ChmodError extends Error {
  override readonly name = 'ChmodError';
}

const SYMBOLIC = /^[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*$/;

/** The bits of an octal mode, or a symbolic mode as it is. @throws ChmodError */
export function parseChmod(text: string): number | string {
  if (/^[0-7]+$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= 0o7777) return mode;
  }
  // What begins like a number was meant to be one.
  if (/^\d/.test(text)) {
    throw new ChmodError(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`);
  }
  if (!SYMBOLIC.test(text)) throw new ChmodError('invalid syntax');
  return text;
}
