import { type CatalogueContext, surprisesAt } from '../../insight/explain/catalogue.ts';
import type { StepExplanation } from '../../insight/explain/explain-build.ts';
import { causeText } from '../../insight/explain/words.ts';
import { didYouMean, UsageError } from './errors.ts';
import { findBuild, type OpenHistory, openBuildHistory } from './open-history.ts';
import { matchesStep, stepLabel } from './step-selector.ts';
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
  const context: CatalogueContext = { explanation, parts: opened.sources.parts, now };
  const steps =
    stepWord === undefined
      ? explanation.steps
      : explanation.steps.filter(({ record }) => matchesStep(record, stepWord));
  if (stepWord !== undefined && steps.length === 0) {
    const known = explanation.steps.map(({ record }) => stepLabel(record).text);
    throw new UsageError(
      `build ${explanation.build.number} has no step ${JSON.stringify(stepWord)}${didYouMean(stepWord, known)}; name it by its text, STAGE/NUMBER or :LINE`,
    );
  }
  if (flags.json) return `${JSON.stringify(explanationJson(context, steps), undefined, 2)}\n`;
  if (stepWord === undefined) return buildText(context, steps);
  return steps.map(step => stepText(step, context)).join('\n');
}

/** The first word is a build if it can be one, otherwise a step of the newest build. */
function readWords({ history }: OpenHistory, words: readonly string[]): { build?: string; stepWord?: string } {
  const [first, second] = words;
  if (first === undefined) return {};
  if (second !== undefined) return { build: first, stepWord: second };
  const isBuild = first === 'latest' || /^\d+$/.test(first) || (/^[0-9a-f]{6,16}$/.test(first) && history.find(first));
  return isBuild ? { build: first } : { stepWord: first };
}

/** The machine's form of an explanation (docs/why.schema.json). */
function explanationJson(context: CatalogueContext, steps: readonly StepExplanation[]) {
  const { build, view } = context.explanation;
  const { number, id, startedAt, duration, status } = build;
  const nameOf = (index: number) => view.steps[index]?.name ?? '';
  return {
    schema: 'outcrop.why/1',
    build: {
      number,
      id,
      startedAt: new Date(startedAt).toISOString(),
      ...(duration === undefined ? {} : { duration }),
      status,
      context: build.context,
      dockerfile: build.dockerfile,
    },
    steps: steps.map(step => {
      const { record, outcome, against, causes, from, sharedWith } = step;
      const label = stepLabel(record);
      return {
        name: record.name,
        digest: record.digest,
        stage: label.stage,
        number: label.number,
        text: label.text,
        lines: record.places.map(({ line }) => line),
        outcome,
        ...(step.duration === undefined ? {} : { duration: step.duration }),
        ...(against === undefined ? {} : { against }),
        ...(sharedWith === undefined ? {} : { sharedWith: nameOf(sharedWith) }),
        ...(from === undefined
          ? {}
          : {
              from: {
                ...from,
                ...(from.createdAt === undefined ? {} : { createdAt: new Date(from.createdAt).toISOString() }),
              },
            }),
        causes: causes.map(({ cause, path }) => ({ ...cause, says: causeText(cause), path: path.map(nameOf) })),
        surprises: surprisesAt(step, context).map(({ id: page, text }) => ({ id: page, says: text })),
      };
    }),
  };
}
