import type { StepRecord } from '../../insight/history/build-record.ts';

/** A step as people name it. */
export interface StepLabel {
  /** The name of the stage; empty for an only one. */
  readonly stage: string;
  /** `3/7`, or nothing where steps have no numbers. */
  readonly number: string;
  readonly text: string;
}

/** The label in a step's name: `[linux/arm64 build 3/7] RUN make`. */
export function stepLabel({ name, places: [place] }: StepRecord): StepLabel {
  const match = /^\[(.*?)(\d+\/\d+)\] (.*)$/s.exec(name);
  const [, stage = '', number = '', text = name] = match ?? [];
  return { stage: stage.trim(), number, text: place?.text ?? text };
}

/**
 * Whether a step is meant by a word: `deps/3`, `deps 3/7` as it is shown, `deps`, `:12` for a line of the Dockerfile, or a
 * part of its text, whatever the case.
 */
export function matchesStep(record: StepRecord, word: string): boolean {
  const { stage, number, text } = stepLabel(record);
  const line = /^:(\d+)$/.exec(word)?.[1];
  if (line !== undefined) return record.places.some(place => place.line === Number(line));
  if (number !== '' && (word === number || word === `${stage} ${number}` || word === `${stage}/${number}`)) return true;
  const ordinal = number.split('/')[0]?.trim() ?? '';
  const numbered = /^(?:(.*)\/)?(\d+)$/.exec(word);
  if (
    numbered !== null &&
    numbered[2] === ordinal &&
    (numbered[1] ?? '') === (numbered[1] === undefined ? '' : stage)
  ) {
    return true;
  }
  const wanted = word.toLowerCase();
  return stage.toLowerCase() === wanted || text.toLowerCase().includes(wanted) || record.digest.startsWith(word);
}
