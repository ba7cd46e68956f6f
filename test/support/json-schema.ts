/** As much of JSON Schema as the schemas in `docs/` use. */

interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly oneOf?: readonly Schema[];
}

/** What of a value does not fit a schema, by path. A member that the schema does not name is wrong, too. */
export function schemaErrors(root: Schema, value: unknown): string[] {
  return errorsAt(root, root, value, '$');
}

function errorsAt(root: Schema, schema: Schema, value: unknown, path: string): string[] {
  const { $ref } = schema;
  if ($ref !== undefined) {
    const found = root.$defs?.[$ref.replace(/^#\/\$defs\//, '')];
    return found === undefined ? [`${path}: there is no ${$ref}`] : errorsAt(root, found, value, path);
  }
  const errors: string[] = [];
  if (schema.type !== undefined && !isOfType(schema.type, value)) errors.push(`${path}: is no ${schema.type}`);
  if ('const' in schema && value !== schema.const) errors.push(`${path}: is not ${JSON.stringify(schema.const)}`);
  if (schema.enum !== undefined && !schema.enum.includes(value)) errors.push(`${path}: ${value} is none of the words`);
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items) errors.push(...value.flatMap((one, index) => errorsAt(root, items, one, `${path}[${index}]`)));
    return errors;
  }
  if (typeof value !== 'object' || value === null) return errors;
  const { branch, errors: branchErrors } = branchOf(root, schema, value, path);
  errors.push(...branchErrors);
  const properties = { ...schema.properties, ...branch?.properties };
  for (const name of schema.required ?? []) if (!(name in value)) errors.push(`${path}: ${name} is missing`);
  if (schema.properties === undefined) return errors;
  for (const [name, one] of Object.entries(value)) {
    const property = properties[name];
    if (property === undefined) errors.push(`${path}: ${name} is not in the schema`);
    else errors.push(...errorsAt(root, property, one, `${path}.${name}`));
  }
  return errors;
}

/** The one of several that the members of a value which are constants choose. */
function branchOf(root: Schema, { oneOf }: Schema, value: object, path: string) {
  if (oneOf === undefined) return { errors: [] };
  const fits = oneOf.filter(({ properties = {} }) =>
    Object.entries(properties).every(
      ([name, one]) => one.const === undefined || typeof one.const !== 'string' || memberOf(value, name) === one.const,
    ),
  );
  const [branch] = fits;
  if (fits.length === 1 && branch !== undefined) return { branch, errors: [] };
  return { errors: [`${path}: fits ${fits.length} of ${oneOf.length} in ${root.$defs ? 'the schema' : 'it'}`] };
}

function memberOf(value: object, name: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[name];
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
