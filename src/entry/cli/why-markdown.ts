import { type CatalogueContext, surprisesAt } from '../../insight/explain/catalogue.ts';
import type { StepExplanation } from '../../insight/explain/explain-build.ts';
import { shortDigest } from '../../insight/explain/words.ts';
import { stepLabel } from './step-selector.ts';
import { formatDuration, reasonText } from './why-text.ts';

/** A build as a table in Markdown, for summaries of CI systems. */
export function explanationMarkdown(context: CatalogueContext, steps: readonly StepExplanation[]): string {
  const { build } = context.explanation;
  const { counts, duration = 0, number, status } = build;
  const ran = counts === undefined ? '' : `: ${counts.ran} of ${counts.steps} steps ran, ${formatDuration(duration)}`;
  const rows = steps.map(step => {
    const { stage, number: ordinal, text } = stepLabel(step.record);
    const took = step.duration === undefined ? '' : formatDuration(step.duration);
    const surprises = surprisesAt(step, context).map(({ id }) => `\`${id}\``);
    const cells = [
      `${stage} ${ordinal}`.trim(),
      code(text),
      step.outcome,
      took,
      reasonText(step, context),
      surprises.join(' '),
    ];
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  });
  return [
    `### outcrop build ${number}, ${status}${ran}`,
    '',
    '| step | instruction | how | took | why | catalogue |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(row => shortDigest(row)),
    '',
    '',
  ].join('\n');
}

function code(text: string): string {
  return `\`${text.split('\n')[0]?.replaceAll('`', "'")}\``;
}
