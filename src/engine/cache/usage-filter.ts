import type { UsageRecord } from './usage.ts';

/** A filter that says nothing about records. */
export class UsageFilterError extends Error {
  override readonly name = 'UsageFilterError';
}

/** Which records are meant. */
export type UsageFilter = (record: UsageRecord) => boolean;

type Operator = '==' | '!=' | '~=';

const FIELDS: Readonly<Record<string, (record: UsageRecord) => string | undefined>> = {
  id: record => record.id,
  type: record => record.type,
  description: record => record.description,
  parents: record => record.parents.join(';'),
  mutable: record => (record.mutable ? '' : undefined),
  immutable: record => (record.mutable ? undefined : ''),
  shared: record => (record.shared ? '' : undefined),
  private: record => (record.shared ? undefined : ''),
  inuse: record => (record.inUse === true ? '' : undefined),
};

/**
 * Reads a filter: `field`, `field=value`, `field==value`, `field!=value` or `field~=expression`, several joined by commas.
 * `id=x` means ids that contain x, as in buildx.
 * @throws UsageFilterError
 */
export function parseUsageFilter(text: string): UsageFilter {
  const conditions = text.split(',').filter(condition => condition !== '');
  const filters = conditions.map(condition => parseCondition(condition, text));
  return record => filters.every(filter => filter(record));
}

/** The fields that filters know. */
const USAGE_FIELDS: readonly string[] = Object.keys(FIELDS);

function parseCondition(condition: string, text: string): UsageFilter {
  const match = /^([^=!~]+?)(?:(==|!=|~=|=)(.*))?$/s.exec(condition);
  const field = match?.[1]?.trim() ?? '';
  const read = FIELDS[field];
  if (!read) {
    throw new UsageFilterError(
      `filter ${text}: unknown field ${JSON.stringify(field)}; use until, ${USAGE_FIELDS.join(', ')}`,
    );
  }
  const [, , sign, value = ''] = match ?? [];
  if (sign === undefined) return record => read(record) !== undefined;
  const operator: Operator = sign === '=' ? (field === 'id' ? '~=' : '==') : (sign as Operator);
  if (operator === '~=') {
    const expression = field === 'id' && sign === '=' ? new RegExp(escapeExpression(value)) : expressionOf(value, text);
    return record => expression.test(read(record) ?? '');
  }
  // `mutable=true` and `shared==false`: presence is all that such fields have.
  if (/^(mutable|immutable|shared|private|inuse)$/.test(field)) {
    const wanted = (value !== 'false') === (operator === '==');
    return record => (read(record) !== undefined) === wanted;
  }
  return record => (read(record) === value) === (operator === '==');
}

function expressionOf(text: string, filter: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new UsageFilterError(`filter ${filter}: ${text} is no regular expression`, { cause });
  }
}

function escapeExpression(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
