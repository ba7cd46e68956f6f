const HTML = /[<>&\u2028\u2029]/g;

/**
 * JSON text as Go's `encoding/json` writes it: compact, keys in insertion order, `undefined` left out, and `<`, `>`, `&`,
 * U+2028 and U+2029 escaped. Digests and cache keys are taken over such text.
 */
export function goJson(value: unknown): string {
  return escapeHtml(JSON.stringify(value));
}

/** The same with Go's `MarshalIndent(v, "", "  ")`. */
export function goJsonIndented(value: unknown): string {
  return escapeHtml(JSON.stringify(value, undefined, 2));
}

// These characters stand only inside strings, so the whole text can be escaped at once.
function escapeHtml(text: string): string {
  return text.replace(HTML, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
