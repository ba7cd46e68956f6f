import type { SourceRange } from '../../engine/status/event.ts';
import { sourceExcerpt } from '../../insight/progress/excerpt.ts';

interface Location {
  readonly sourceIndex?: number;
  readonly ranges?: readonly {
    readonly start?: { readonly line?: number };
    readonly end?: { readonly line?: number };
  }[];
}

/** The result of a check as BuildKit's frontend writes it. */
interface CheckResult {
  readonly warnings:
    | readonly {
        readonly ruleName: string;
        readonly url?: string;
        readonly detail?: string;
        readonly location: Location;
      }[]
    | null;
  readonly sources?: readonly { readonly filename?: string; readonly data?: string }[];
  readonly buildError?: { readonly message: string; readonly location: Location };
}

/** Where and how a result is shown. */
interface CheckView {
  /** How people know the Dockerfile. */
  readonly dockerfile: string;
  /** Whether the result itself was shown already. */
  readonly json: boolean;
}

/**
 * Prints the result of a check as buildx does: warnings on standard output, what ended the check on standard error.
 * @returns whether the check came to its end
 */
export function printCheck(json: string, { dockerfile, json: shown }: CheckView): boolean {
  const { warnings: found, sources = [], buildError } = JSON.parse(json) as CheckResult;
  const warnings = found ?? [];
  const excerpt = (location: Location) => {
    const data = Buffer.from(sources[location.sourceIndex ?? 0]?.data ?? '', 'base64');
    return sourceExcerpt({ filename: dockerfile, data, language: 'Dockerfile' }, rangesOf(location));
  };
  if (!shown) {
    let text = '';
    if (warnings.length > 0) {
      const count = warnings.length === 1 ? '1 warning has' : `${warnings.length} warnings have`;
      text += `Check complete, ${count} been found!\n`;
    }
    for (const { ruleName, url, detail = '', location } of warnings.toSorted(byLine)) {
      text += `\nWARNING: ${ruleName}${url ? ` - ${url}` : ''}\n${detail}\n${excerpt(location)}`;
    }
    if (buildError && warnings.length > 0) text += '\n';
    if (!buildError && warnings.length === 0) text += 'Check complete, no warnings found.\n';
    process.stdout.write(text);
  }
  if (!buildError) return true;
  process.stderr.write(`ERROR: ${buildError.message}\n${excerpt(buildError.location)}\n`);
  return false;
}

function byLine(a: { readonly location: Location }, b: { readonly location: Location }): number {
  return firstLine(a.location) - firstLine(b.location);
}

function firstLine({ ranges }: Location): number {
  return ranges?.[0]?.start?.line ?? 0;
}

function rangesOf({ ranges = [] }: Location): SourceRange[] {
  return ranges.map(({ start, end }) => ({
    start: { line: start?.line ?? 0, character: 0 },
    end: { line: end?.line ?? 0, character: 0 },
  }));
}
