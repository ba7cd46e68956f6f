import type { SourceRange, WarningEvent } from '../../engine/status/event.ts';
import { formatWarning, type LintWarning } from '../../plan/dockerfile/lint/linter.ts';
import type { LineRange } from '../../plan/dockerfile/source.ts';
import type { DockerfilePlan } from '../../plan/frontend/plan-dockerfile.ts';

/** The Dockerfile that warnings are about. */
type Warned = Pick<DockerfilePlan, 'dockerfile'>;

/** A build check's finding as the clients of BuildKit get it. */
export function warningEvent(warning: LintWarning, warned: Warned): WarningEvent {
  const { rule, lines } = warning;
  return {
    ...eventOf(formatWarning(warning), rule.description, lines, warned),
    ...(rule.url === undefined ? {} : { url: rule.url }),
  };
}

/** A warning that the file asks for a newer frontend than is built in; none if it does not. */
export function newerFrontendEvent(warned: Warned): WarningEvent | undefined {
  const { newer } = warned.dockerfile.frontend;
  if (!newer) return undefined;
  const short = `syntax=${newer.reference} is newer than the built-in frontend, which keeps to version ${newer.ours}`;
  return eventOf(
    short,
    'The file is planned all the same; what the newer version added is not known.',
    newer.lines,
    warned,
  );
}

function eventOf(
  short: string,
  detail: string,
  lines: LineRange | undefined,
  { dockerfile: { vertex, filename, data } }: Warned,
): WarningEvent {
  return {
    kind: 'warning',
    vertex,
    level: 1,
    short: Buffer.from(short),
    detail: [Buffer.from(detail)],
    sourceInfo: { filename, data, language: 'Dockerfile' },
    ...(lines === undefined ? {} : { ranges: [rangeOf(lines)] }),
  };
}

function rangeOf({ start, end }: LineRange): SourceRange {
  return { start: { line: start, character: 0 }, end: { line: end, character: 0 } };
}
