import type { WarningEvent } from '../../engine/status/event.ts';
import { formatWarning, type LintWarning } from '../../plan/dockerfile/lint/linter.ts';
import type { DockerfilePlan } from '../../plan/frontend/plan-dockerfile.ts';

/** A build check's finding as the clients of BuildKit get it. */
export function warningEvent(warning: LintWarning, { dockerfile }: DockerfilePlan): WarningEvent {
  const { rule, lines } = warning;
  return {
    kind: 'warning',
    vertex: dockerfile.vertex,
    level: 1,
    short: Buffer.from(formatWarning(warning)),
    detail: [Buffer.from(rule.description)],
    ...(rule.url === undefined ? {} : { url: rule.url }),
    sourceInfo: { filename: dockerfile.filename, data: dockerfile.data, language: 'Dockerfile' },
    ...(lines === undefined
      ? {}
      : { ranges: [{ start: { line: lines.start, character: 0 }, end: { line: lines.end, character: 0 } }] }),
  };
}
