import { type LocationJson, locationJson } from '../location-json.ts';
import { renderSourceBlock } from '../source-block.ts';
import type { LintWarning } from './linter.ts';

/** A warning as the JSON result of `--call=check` gives it. */
export interface WarningJson {
  readonly ruleName: string;
  readonly description: string;
  readonly url?: string;
  readonly detail: string;
  readonly location: LocationJson;
}

/** The JSON form of a warning. */
export function warningJson({ rule, message, lines }: LintWarning): WarningJson {
  const { name, description, url } = rule;
  return {
    ruleName: name,
    description,
    ...(url !== '' && { url }),
    detail: message,
    location: locationJson(lines),
  };
}

/** The warnings of a check as text, those without lines first, then by first line, each with its lines of the file `text`. */
export function renderWarnings(fileName: string, text: string, warnings: readonly LintWarning[]): string {
  return warnings
    .toSorted((a, b) => (a.lines?.start ?? 0) - (b.lines?.start ?? 0))
    .map(({ rule, message, lines }) => {
      const title = rule.url === '' ? rule.name : `${rule.name} - ${rule.url}`;
      const block = lines === undefined ? '' : renderSourceBlock(fileName, text, lines);
      return `\nWARNING: ${title}\n${message}\n${block}`;
    })
    .join('');
}
