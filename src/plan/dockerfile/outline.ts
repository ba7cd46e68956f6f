import type { LocationJson } from './location-json.ts';
import { renderTable } from './text-table.ts';

/** The parameters of a target as `--call=outline` shows them, members as in the JSON result; empty ones are left out. */
export interface OutlineJson {
  readonly name?: string;
  readonly description?: string;
  readonly args?: readonly OutlineArg[];
  readonly secrets?: readonly OutlineRequirement[];
  readonly ssh?: readonly OutlineRequirement[];
}

interface OutlineArg {
  readonly name: string;
  readonly description?: string;
  readonly value?: string;
  readonly location: LocationJson;
}

/** A secret or an SSH agent. */
export interface OutlineRequirement {
  readonly name: string;
  readonly required?: boolean;
  readonly location: LocationJson;
}

const GAP = 3;

/** The text result of `--call=outline`. */
export function renderOutline({ name, description, args, secrets, ssh }: OutlineJson): string {
  const tables: string[] = [];
  if (name || description) {
    const rows = [['TARGET:', name || '(default)'], ...(description ? [['DESCRIPTION:', description]] : [])];
    tables.push(renderTable(rows, 1));
  }
  if (args?.length) {
    const rows = args.map(arg => [arg.name, arg.value ?? '', arg.description ?? '']);
    tables.push(renderTable([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows], GAP));
  }
  if (secrets?.length) tables.push(renderRequirements('SECRET', secrets));
  if (ssh?.length) tables.push(renderRequirements('SSH', ssh));
  return tables.map(table => `${table}\n`).join('');
}

function renderRequirements(title: string, requirements: readonly OutlineRequirement[]): string {
  const rows = requirements.map(({ name, required }) => [name, required ? 'true' : '']);
  return renderTable([[title, 'REQUIRED'], ...rows], GAP);
}
