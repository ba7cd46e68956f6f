import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';

/** What a listing is filtered by: texts, or texts by a further name. */
export type FilterFields = Readonly<Record<string, string | Readonly<Record<string, string>> | undefined>>;

const CONDITION =
  /\s*([A-Za-z0-9_]+)((?:\.(?:"(?:[^"\\]|\\.)*"|[A-Za-z0-9_-]+))*)\s*(?:(==|!=|~=)\s*("(?:[^"\\]|\\.)*"|[^,]*))?\s*(,|$)/y;

/**
 * Filters in containerd's syntax: `field==value`, `!=`, `~=`, or `field` for one that is there; commas between conditions
 * that must all hold. Of several filters any is enough; without any all pass.
 * @throws StatusError for a text that is no filter
 */
export function parseListFilters(texts: readonly string[]): (fields: FilterFields) => boolean {
  const filters = texts.filter(text => text !== '').map(parseFilter);
  return fields => filters.length === 0 || filters.some(filter => filter(fields));
}

function parseFilter(text: string): (fields: FilterFields) => boolean {
  const conditions: ((fields: FilterFields) => boolean)[] = [];
  const pattern = new RegExp(CONDITION);
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (found === null) throw new StatusError(Code.invalidArgument, `invalid filter ${JSON.stringify(text)}`);
    const [, field = '', further = '', operator, value = ''] = found;
    const path = [...further.matchAll(/\.("(?:[^"\\]|\\.)*"|[A-Za-z0-9_-]+)/g)].map(([, name = '']) => unquote(name));
    conditions.push(condition(field, path.join('.'), operator, unquote(value.trim()), text));
  }
  return fields => conditions.every(holds => holds(fields));
}

function condition(field: string, further: string, operator: string | undefined, wanted: string, text: string) {
  const read = (fields: FilterFields): string | undefined => {
    const value = fields[field];
    return typeof value === 'object' ? value[further] : value;
  };
  switch (operator) {
    case '==':
      return (fields: FilterFields) => read(fields) === wanted;
    case '!=':
      return (fields: FilterFields) => read(fields) !== wanted;
    case '~=': {
      const expression = expressionOf(wanted, text);
      return (fields: FilterFields) => expression.test(read(fields) ?? '');
    }
    default:
      return (fields: FilterFields) => read(fields) !== undefined;
  }
}

function expressionOf(text: string, filter: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new StatusError(Code.invalidArgument, `invalid filter ${JSON.stringify(filter)}`, { cause });
  }
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
}
