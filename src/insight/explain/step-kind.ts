/** What kind of thing a vertex is, told by the parts of its key. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { StepRecord } from '../history/build-record.ts';
import { type BuildView, isSource, keysOf } from './build-view.ts';

/** The named parts behind a digest, if they are known. */
export type PartsReader = (digest: string) => readonly KeyPart[] | undefined;

/** The parts of a step's definition. */
export function partsOf(step: StepRecord | undefined, parts: PartsReader): readonly KeyPart[] {
  const digest = step?.definitions[0];
  return digest === undefined ? [] : (parts(digest) ?? []);
}

/** The image that a source is: its name without the digest that the frontend adds, and the digest. */
export function imageOf(parts: readonly KeyPart[]): { readonly name: string; readonly digest: string } | undefined {
  const part = parts.find(({ kind, value }) => kind === 'image' && value.startsWith('sha256:'));
  return part && { name: part.name.replace(/@sha256:[0-9a-f]+$/, ''), digest: part.value };
}

/** A directory of the client, a repository or a download: what is compared file by file. */
export function isDirectory(step: StepRecord | undefined, parts: PartsReader): boolean {
  return isSource(step) && !isInline(step, parts) && imageOf(partsOf(step, parts)) === undefined;
}

/** The files of a heredoc. */
export function isInline(step: StepRecord | undefined, parts: PartsReader): boolean {
  return isSource(step) && partsOf(step, parts).some(({ kind }) => kind === 'mkfile');
}

/**
 * What a step is built on: its first input, unless that is only read, as the source of a COPY onto scratch is. Undefined for
 * what stands on nothing.
 */
export function baseOf({ steps }: BuildView, step: number, parts: PartsReader): number | undefined {
  const record = steps[step];
  const [first] = record?.inputs ?? [];
  // Of what is read a path is selected; a RUN selects all of its root.
  const isRead =
    keysOf(record, 0).selector !== undefined && !partsOf(record, parts).some(({ kind }) => kind === 'args');
  return isRead ? undefined : first;
}
