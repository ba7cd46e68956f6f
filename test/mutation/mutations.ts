/** All kinds of changes. */
import { copyChanges } from './copy-changes.ts';
import { dockerfileChanges } from './dockerfile-changes.ts';
import { fileChanges } from './file-changes.ts';
import type { Maker } from './mutation.ts';
import { requestChanges } from './request-changes.ts';
import { stageChanges } from './stage-changes.ts';
import { treeChanges } from './tree-changes.ts';

export const makers: Readonly<Record<string, Maker>> = {
  ...fileChanges,
  ...treeChanges,
  ...dockerfileChanges,
  ...copyChanges,
  ...stageChanges,
  ...requestChanges,
};

/** Of two changes to one thing the second would hide the first, so only some are made in pairs. */
const UNPAIRABLE =
  /prune|as before|empty|over another|mode|owner|remove|rename|swap|move an instruction|ignor|without|touch|nothing|metadata|comment|host|limit|another base|platform|label|target of|another target|secret|keyword|link a copy|cache mount|break|mend|in the place|ADD for COPY|flag of a copy/;

/** Of the changes to what a tree or a Dockerfile is made of those that hide nothing. */
const PAIRABLE: ReadonlySet<string> = new Set(['add a directory', 'add a link', 'add a hard link', 'add metadata']);

export function isPairable(name: string): boolean {
  const isOfShape = [treeChanges, copyChanges, stageChanges].some(changes => name in changes);
  return isOfShape ? PAIRABLE.has(name) : !UNPAIRABLE.test(name);
}
