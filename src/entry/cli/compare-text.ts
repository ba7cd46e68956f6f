/** What `outcrop compare` prints. */
import { type ComparedRow, shortReason } from '../../insight/explain/compare-builders.ts';
import { formatDuration } from './why-text.ts';

/** What is printed. */
export interface PrintedComparison {
  /** The states by their names. */
  readonly past: string;
  readonly now: string;
  /** Whether both builders really built, and did not only plan. */
  readonly isRun: boolean;
  readonly rows: readonly ComparedRow[];
}

const WIDEST = { stage: 14, text: 34, side: 38 } as const;

/** What takes less time is no cost, in milliseconds. */
const WORTH_A_WORD = 100;

/** The two builders side by side, an instruction a line. */
export function comparisonText({ past, now, isRun, rows }: PrintedComparison): string {
  const cells = rows.map(row => [
    shortReason(row.stage, WIDEST.stage),
    row.line === undefined ? '' : String(row.line),
    shortReason(row.text, WIDEST.text),
    shortReason(sideText(row.outcrop), WIDEST.side),
    shortReason(sideText(row.legacy), WIDEST.side),
    row.cost === undefined || row.cost < WORTH_A_WORD ? '' : costText(row, row.cost),
  ]);
  const head = ['', 'line', '', 'outcrop, BuildKit', 'legacy builder', ''];
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map(row => row[column]?.length ?? 0)));
  const lines = [head, ...cells].map(row =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .filter((_, column) => (widths[column] ?? 0) > 0)
      .join('  ')
      .trimEnd(),
  );
  const count = (side: 'outcrop' | 'legacy', outcome: string) =>
    rows.filter(row => row[side].outcome === outcome).length;
  const told = (side: 'outcrop' | 'legacy') => {
    const maybe = count(side, 'maybe');
    return `${count(side, 'run')}${maybe === 0 ? '' : ` to ${count(side, 'run') + maybe}`}`;
  };
  const verb = isRun ? 'ran' : 'would run';
  const refused = rows.find(({ legacy, difference }) => legacy.outcome === 'refused' && difference !== undefined);
  const legacy =
    refused === undefined
      ? `the legacy builder ${told('legacy')}`
      : `the legacy builder refuses it: ${shortReason(refused.legacy.reason, 100)}`;
  const differences = Object.entries(countDifferences(rows));
  return [
    `${now} after ${past}: outcrop ${verb} ${told('outcrop')} of ${rows.length} instructions, ${legacy}`,
    '',
    ...lines.map(line => `  ${line}`),
    ...(differences.length === 0
      ? []
      : ['', `  differences: ${differences.map(([id, number]) => `${id} (${number})`).join(', ')}   docs/compare.md`]),
    '',
  ].join('\n');
}

function sideText({ outcome, reason, duration }: ComparedRow['outcrop'] | ComparedRow['legacy']): string {
  const took = duration === undefined ? '' : ` ${formatDuration(duration)}`;
  return reason === '' ? `${outcome}${took}` : `${outcome}${took}: ${reason}`;
}

/** How much longer one of the two builders takes. */
function costText({ outcrop }: ComparedRow, cost: number): string {
  return `${outcrop.outcome === 'run' ? '-' : '+'} about ${formatDuration(cost)}`;
}

function countDifferences(rows: readonly ComparedRow[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { difference } of rows) if (difference !== undefined) counts[difference] = (counts[difference] ?? 0) + 1;
  return counts;
}

/** The same for machines (docs/compare.schema.json). */
export function comparisonJson({ past, now, isRun, rows }: PrintedComparison): string {
  const json = {
    schema: 'outcrop.compare/1',
    against: past,
    to: now,
    mode: isRun ? 'run' : 'plan',
    rows,
    differences: countDifferences(rows),
  };
  return `${JSON.stringify(json, undefined, 2)}\n`;
}
