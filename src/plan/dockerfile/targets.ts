import type { Stage } from './instruction.ts';
import { type LocationJson, locationJson } from './location-json.ts';
import { renderTable } from './text-table.ts';

/** A stage as `--call=targets` lists it, its members as in the JSON result; empty ones are left out. */
export interface TargetJson {
  readonly name?: string;
  readonly default?: true;
  readonly description?: string;
  /** As written. */
  readonly base: string;
  /** As written. */
  readonly platform?: string;
  readonly location: LocationJson;
}

/** The targets of a file in order; the last one is the default. */
export function listTargets(stages: readonly Stage[]): TargetJson[] {
  return stages.map(({ name, doc, base, platform, lines }, index) => ({
    ...(name !== '' && { name }),
    ...(index === stages.length - 1 && { default: true }),
    ...(doc !== '' && { description: doc }),
    base,
    ...(platform !== '' && { platform }),
    location: locationJson(lines),
  }));
}

/** The text result of `--call=targets`. */
export function renderTargets(targets: readonly TargetJson[]): string {
  const rows = targets.map(target => [
    target.default ? `${target.name ?? ''} (default)`.trimStart() : (target.name ?? ''),
    target.description ?? '',
  ]);
  return renderTable([['TARGET', 'DESCRIPTION'], ...rows], 1);
}
