/** A build of the history, read so that its steps can be compared with those of another one. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { BuildSummary, InputKeys, StepPlace, StepRecord } from '../history/build-record.ts';
import { type DockerfileModel, dockerfileModel, type ModelInstruction } from './dockerfile-model.ts';

/** What explanations read. */
export interface HistoryReader {
  steps(build: number): readonly StepRecord[];
  text(digest: string): string | undefined;
  parts(digest: string): readonly KeyPart[] | undefined;
}

export interface BuildView {
  readonly summary: BuildSummary;
  readonly steps: readonly StepRecord[];
  readonly model: DockerfileModel | undefined;
  /** The instruction that stands at a place; undefined for the trigger of a base image. */
  instructionAt(place: StepPlace): ModelInstruction | undefined;
  /** The steps that stand at a line. */
  stepsAt(line: number): readonly number[];
  /** A step, or the one that it was merged into: what really has keys and a result. */
  resolve(step: number): number;
}

/** Reads a build. */
export function buildView(summary: BuildSummary, reader: HistoryReader): BuildView {
  const steps = reader.steps(summary.number);
  const { dockerfileText } = summary;
  const text = dockerfileText === undefined ? undefined : reader.text(dockerfileText);
  const model = text === undefined ? undefined : dockerfileModel(text);
  const byLine = new Map<number, ModelInstruction>();
  for (const { from, instructions } of model?.stages ?? []) {
    for (const instruction of [from, ...instructions]) byLine.set(instruction.line, instruction);
  }
  const atLine = new Map<number, number[]>();
  for (const [index, { places }] of steps.entries()) {
    for (const { line } of places) {
      const known = atLine.get(line);
      if (known === undefined) atLine.set(line, [index]);
      else if (!known.includes(index)) known.push(index);
    }
  }
  return {
    summary,
    steps,
    model,
    instructionAt: ({ line, text: written }) => {
      const found = byLine.get(line);
      return found?.text === written ? found : undefined;
    },
    stepsAt: line => atLine.get(line) ?? [],
    resolve(step) {
      let at = step;
      for (let hops = 0; hops < steps.length; hops++) {
        const into = steps[at]?.mergedInto;
        if (into === undefined) break;
        at = into;
      }
      return at;
    },
  };
}

/** Where a cache lies that a build was given, as people call it. */
export function cacheName({ summary }: BuildView, id: string): string {
  return summary.sources?.find(source => source.id === id)?.name ?? id;
}

/** The keys of an input. */
export function keysOf(step: StepRecord | undefined, input: number): InputKeys {
  return step?.keys[input] ?? {};
}

/** Whether a step is what a source of files is: without inputs, and no instruction became it. */
export function isSource(step: StepRecord | undefined): boolean {
  return step !== undefined && step.inputs.length === 0 && step.places.length === 0;
}

/** Whether a step is the second vertex of a linked copy: the one that merges it. */
export function isLink({ name }: StepRecord): boolean {
  return name.includes('] LINK ');
}

/** Steps that a person knows: instructions of the Dockerfile in its order, each linked copy once. */
export function shownSteps({ steps }: BuildView): number[] {
  const lineOf = (index: number) => steps[index]?.places[0]?.line ?? 0;
  return [...steps.keys()]
    .filter(index => {
      const step = steps[index];
      return step !== undefined && step.places.length > 0 && !isLink(step);
    })
    .sort((a, b) => lineOf(a) - lineOf(b));
}
