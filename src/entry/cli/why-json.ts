import { type CatalogueContext, surprisesAt } from '../../insight/explain/catalogue.ts';
import { cureOf } from '../../insight/explain/cures.ts';
import type { StepExplanation } from '../../insight/explain/explain-build.ts';
import { causeText } from '../../insight/explain/words.ts';
import { stepLabel } from './step-selector.ts';

/** The machine's form of an explanation (docs/why.schema.json). */
export function explanationJson(
  context: CatalogueContext,
  steps: readonly StepExplanation[],
  outcomeOf: (step: StepExplanation) => string = step => step.outcome,
) {
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
      const { record, against, causes, from, sharedWith } = step;
      const label = stepLabel(record);
      return {
        name: record.name,
        digest: record.digest,
        stage: label.stage,
        number: label.number,
        text: label.text,
        lines: record.places.map(({ line }) => line),
        outcome: outcomeOf(step),
        ...(step.duration === undefined ? {} : { duration: step.duration }),
        ...(against === undefined ? {} : { against }),
        ...(sharedWith === undefined ? {} : { sharedWith: nameOf(sharedWith) }),
        ...(from === undefined
          ? {}
          : {
              from: {
                ...from,
                ...(from.createdAt === undefined ? {} : { createdAt: new Date(from.createdAt).toISOString() }),
                ...(from.newest === undefined ? {} : { newest: new Date(from.newest).toISOString() }),
                ...(from.exportedAt === undefined ? {} : { exportedAt: new Date(from.exportedAt).toISOString() }),
              },
            }),
        causes: causes.map(({ cause, path }) => ({ ...cause, says: causeText(cause), path: path.map(nameOf) })),
        surprises: surprisesAt(step, context).map(({ id: page, text }) => ({
          id: page,
          says: text,
          cure: cureOf(page),
        })),
      };
    }),
  };
}
