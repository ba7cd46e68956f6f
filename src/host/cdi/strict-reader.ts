/** A value that is not of the type that a field wants, or a field that nobody knows. */
class FieldError extends Error {
  override readonly name = 'FieldError';
}

/** A table whose fields are read by type. A missing field is undefined; one of another type throws FieldError. */
export interface StrictTable {
  text(key: string): string | undefined;
  /** A whole number. */
  number(key: string): number | undefined;
  flag(key: string): boolean | undefined;
  texts(key: string): readonly string[] | undefined;
  numbers(key: string): readonly number[] | undefined;
  /** Scalars as texts: what YAML takes for something else is written back. */
  labels(key: string): Readonly<Record<string, string>> | undefined;
  table<T>(key: string, read: (table: StrictTable) => T): T | undefined;
  tables<T>(key: string, read: (table: StrictTable) => T): readonly T[];
}

/** Reads a value as a table. Fields that `read` does not ask for are errors. @throws FieldError */
export function readStrictly<T>(value: unknown, where: string, read: (table: StrictTable) => T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FieldError(`${where} must be a table`);
  const fields = new Map<string, unknown>(Object.entries(value));
  const asked = new Set<string>();
  const at = (key: string): string => (where === '' ? key : `${where}.${key}`);

  function fieldOf<V>(key: string, what: string, convert: (field: unknown) => V | undefined): V | undefined {
    asked.add(key);
    const field = fields.get(key) ?? undefined;
    if (field === undefined) return undefined;
    const converted = convert(field);
    if (converted === undefined) throw new FieldError(`${at(key)} must be ${what}`);
    return converted;
  }

  const result = read({
    text: key => fieldOf(key, 'a text', textOf),
    number: key => fieldOf(key, 'a whole number', wholeNumber),
    flag: key => fieldOf(key, 'true or false', field => (typeof field === 'boolean' ? field : undefined)),
    texts: key => fieldOf(key, 'a list of texts', field => listOf(field, textOf)),
    numbers: key => fieldOf(key, 'a list of whole numbers', field => listOf(field, wholeNumber)),
    labels: key =>
      fieldOf(key, 'a table of texts', field =>
        readStrictly(field, at(key), table => {
          const names = Object.keys(field as object);
          return Object.fromEntries(names.map(name => [name, table.text(name) ?? '']));
        }),
      ),
    table: (key, inner) => fieldOf(key, 'a table', field => ({ table: readStrictly(field, at(key), inner) }))?.table,
    tables: (key, inner) =>
      fieldOf(key, 'a list', field =>
        Array.isArray(field) ? field.map((item, i) => readStrictly(item, `${at(key)}[${i}]`, inner)) : undefined,
      ) ?? [],
  });
  for (const key of fields.keys()) if (!asked.has(key)) throw new FieldError(`${at(key)}: unknown field`);
  return result;
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

function wholeNumber(value: unknown): number | undefined {
  // YAML 1.2's form of an octal number, which 1.1 takes for a text.
  if (typeof value === 'string' && /^0o[0-7]+$/.test(value)) return Number(value);
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

function listOf<T>(value: unknown, convert: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(convert).filter(item => item !== undefined);
  return items.length === value.length ? items : undefined;
}
