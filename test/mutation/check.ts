/** What is wrong with an explanation, given what was really changed. */
import type { StepExplanation } from '../../src/insight/explain/explain-build.ts';
import { causeText } from '../../src/insight/explain/words.ts';
import type { CorpusEntry } from './corpus.ts';
import type { Mutation } from './mutation.ts';

/**
 * Each step that ran has to have causes, all of them one of the changes; each change has to be the cause of some step unless
 * it may be silent; a silent one alone may make nothing run.
 */
export function wrongOf(
  mutations: readonly Mutation[],
  steps: readonly StepExplanation[],
  entry: CorpusEntry,
): string[] {
  const ran = steps.filter(({ outcome }) => outcome === 'ran' || outcome === 'failed');
  const wrong: string[] = [];
  const named = new Set<Mutation>();
  for (const { record, causes, against } of ran) {
    if (causes.length === 0) wrong.push(`${record.name} ran and nothing is said`);
    for (const { cause } of causes) {
      const whose = mutations.filter(({ isCause }) => isCause(cause));
      for (const one of whose) named.add(one);
      if (whose.length > 0) continue;
      wrong.push(`${record.name} against build ${against}: ${causeText(cause)} ${JSON.stringify(cause)}`);
    }
  }
  for (const one of mutations) {
    if (named.has(one) || one.isSilent || one.mayBeSilent || entry.target !== undefined) continue;
    wrong.push(`"${one.what}" is named nowhere, ${ran.length} steps ran`);
  }
  if (mutations.every(one => one.isSilent) && ran.length > 0) wrong.push(`${ran.length} steps ran`);
  return wrong;
}
