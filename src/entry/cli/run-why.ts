import type { BuildExplanation, StepExplanation } from '../../insight/explain/explain-build.ts';
import { didYouMean, UsageError } from './errors.ts';
import { findBuild, type OpenHistory, openBuildHistory } from './open-history.ts';
import { matchesStep, stepLabel } from './step-selector.ts';
import { explanationJson } from './why-json.ts';
import { buildText, stepText } from './why-text.ts';

/** Flags of `outcrop why`. */
export interface WhyFlags {
  readonly against?: string;
  readonly json?: true;
}

/**
 * What `outcrop why [BUILD] [STEP]` prints. @param now milliseconds since the epoch
 * @throws UsageError for a build or a step that there is not
 */
export function runWhy(words: readonly string[], flags: WhyFlags, root?: string, now: number = Date.now()): string {
  using opened = openBuildHistory(root);
  if (opened === undefined) throw new UsageError('nothing was built on this machine yet');
  const { build, stepWord } = readWords(opened, words);
  const against = flags.against === undefined ? undefined : findBuild(opened.history, flags.against);
  const explanation = opened.explain(findBuild(opened.history, build), against);
  const context = opened.catalogue(explanation, now);
  const steps = stepWord === undefined ? explanation.steps : stepsNamed(explanation.steps, stepWord);
  if (stepWord !== undefined && steps.length === 0) throw noStep(explanation, stepWord);
  if (flags.json) return `${JSON.stringify(explanationJson(context, steps), undefined, 2)}\n`;
  if (stepWord === undefined) return buildText(context, steps);
  return steps.map(step => stepText(step, context)).join('\n');
}

/** That a build has no such step, with what it has. */
function noStep({ build: { number, status }, steps }: BuildExplanation, word: string): UsageError {
  if (steps.length === 0) {
    const why =
      status === 'running' ? 'is still running' : status === 'done' ? 'has none' : `was ${status} before that`;
    return new UsageError(`the steps of build ${number} are not known: it ${why}`);
  }
  const labels = steps.map(({ record }) => stepLabel(record));
  const stages = [...new Set(labels.map(({ stage }) => stage))].filter(stage => stage !== '');
  const known = [
    ...stages,
    ...labels.map(one => `${one.stage === '' ? '' : `${one.stage}/`}${one.number.split('/')[0]}`),
    ...labels.map(({ text }) => text),
    ...labels.flatMap(({ text }) => text.split(/\s+/).filter(part => part.length > 3)),
  ];
  const meant = didYouMean(word, known);
  const ofStages = meant === '' && stages.length > 0 ? ` Its stages are ${stages.join(', ')}.` : '';
  return new UsageError(
    `build ${number} has no step ${JSON.stringify(word)}${meant}; name it by a part of its text, its stage, STAGE/NUMBER or :LINE, as outcrop why ${number} lists them.${ofStages}`,
  );
}

/** The steps that a word names: all of a stage of that name, else those that match it. */
function stepsNamed(steps: readonly StepExplanation[], word: string): readonly StepExplanation[] {
  const ofStage = steps.filter(({ record }) => stepLabel(record).stage.toLowerCase() === word.toLowerCase());
  return ofStage.length > 0 ? ofStage : steps.filter(({ record }) => matchesStep(record, word));
}

/** The first word is a build if it can be one, otherwise a step of the newest build. */
function readWords({ history }: OpenHistory, words: readonly string[]): { build?: string; stepWord?: string } {
  const [first, second] = words;
  if (first === undefined) return {};
  if (second !== undefined) return { build: first, stepWord: second };
  const isBuild = first === 'latest' || /^\d+$/.test(first) || (/^[0-9a-f]{6,16}$/.test(first) && history.find(first));
  return isBuild ? { build: first } : { stepWord: first };
}
