/** All kinds of changes. */
import { dockerfileChanges } from './dockerfile-changes.ts';
import { fileChanges } from './file-changes.ts';
import type { Maker } from './mutation.ts';
import { requestChanges } from './request-changes.ts';

export const makers: Readonly<Record<string, Maker>> = { ...fileChanges, ...dockerfileChanges, ...requestChanges };

/** Of two changes to one thing the second would hide the first, so only some are made in pairs. */
const UNPAIRABLE =
  /prune|as before|mode|owner|remove|rename|swap|move an instruction|ignor|without|touch|nothing|metadata|comment|host|limit|another base|platform|label|target of|another target|secret|keyword|link a copy|cache mount|break|mend|in the place|ADD for COPY|flag of a copy/;

export function isPairable(name: string): boolean {
  return !UNPAIRABLE.test(name);
}
