/** A text that is no CSV record. */
export class CsvError extends Error {
  override readonly name = 'CsvError';
}

/**
 * The fields of one CSV record (RFC 4180; the errors are those of Go's encoding/csv, columns in bytes from 1). Throws
 * CsvError, also for the empty text.
 */
export function parseCsvRecord(record: string): string[] {
  if (record === '') throw new CsvError('EOF');
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field = '';
    if (record[at] === '"') {
      const first = ++at;
      for (;;) {
        const quote = record.indexOf('"', at);
        if (quote < 0) throw failure('extraneous or missing " in quoted-field', first);
        field += record.slice(at, quote);
        at = quote + 1;
        if (record[at] !== '"') {
          if (at < record.length && record[at] !== ',') throw failure('extraneous or missing " in quoted-field', quote);
          break;
        }
        field += '"';
        at++;
      }
    } else {
      const comma = record.indexOf(',', at);
      field = record.slice(at, comma < 0 ? record.length : comma);
      const quote = field.indexOf('"');
      if (quote >= 0) throw failure('bare " in non-quoted-field', at + quote);
      at += field.length;
    }
    fields.push(field);
    if (at >= record.length) return fields;
    at++;
  }

  function failure(reason: string, index: number): CsvError {
    return new CsvError(`parse error on line 1, column ${Buffer.byteLength(record.slice(0, index)) + 1}: ${reason}`);
  }
}
