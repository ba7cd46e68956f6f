import { UsageError } from './errors.ts';

/**
 * The fields of one line of CSV, as Go's `encoding/csv` reads it: fields between commas, quoted ones may hold commas and
 * doubled quotes.
 * @throws UsageError for an open quote or a quote inside a bare field.
 */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      let field = '';
      at++;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) throw new UsageError(`${text}: a quote is never closed`);
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < text.length && text[at] !== ',') throw new UsageError(`${text}: text after a closing quote`);
      fields.push(field);
    } else {
      const comma = text.indexOf(',', at);
      const field = text.slice(at, comma < 0 ? text.length : comma);
      if (field.includes('"')) throw new UsageError(`${text}: a quote inside a field that does not begin with one`);
      fields.push(field);
      at += field.length;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

/**
 * `key=value` fields as a map, keys in lower case; the last of equal keys wins.
 * @throws UsageError for a field without `=`.
 */
export function csvMap(text: string, flag: string): Map<string, string> {
  const map = new Map<string, string>();
  for (const field of csvFields(text)) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new UsageError(`${flag} ${text}: expected key=value, found ${JSON.stringify(field)}`);
    map.set(field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1));
  }
  return map;
}
