/** What changed between two lists of files that a key was made of. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { FileAspect, FileCause, FileState } from './cause.ts';

/**
 * Tells what of a file changed beside its mode and owner: nothing, its extended attributes, or its content; undefined where
 * that cannot be told any more.
 */
export type ContentCheck = (
  path: string,
  before: FileState,
  after: FileState,
) => 'same' | 'extended attributes' | 'differs' | undefined;

export interface FileChangeOptions {
  /** The paths that are selected changed too: only what is in both lists is compared. */
  readonly onlyCommon?: boolean;
  readonly sameContent?: ContentCheck;
}

const FILE_KINDS: ReadonlySet<string> = new Set(['file', 'directory', 'symlink', 'char', 'block', 'fifo', 'socket']);

/** The files that differ, in the order of the new list, those that are gone last. */
export function fileChanges(
  past: readonly KeyPart[],
  now: readonly KeyPart[],
  { onlyCommon = false, sameContent = () => undefined }: FileChangeOptions = {},
): FileCause[] {
  const before = statesOf(past);
  const after = statesOf(now);
  const changed: FileCause[] = [];
  const added: FileCause[] = [];
  for (const [path, state] of after) {
    const old = before.get(path);
    if (old === undefined) added.push({ kind: 'file', path, change: 'added', aspects: [], after: state });
    else if (!isSame(old, state)) changed.push(changeOf(path, old, state, sameContent));
  }
  if (onlyCommon) return changed;
  const removed: FileCause[] = [];
  for (const [path, state] of before) {
    if (!after.has(path)) removed.push({ kind: 'file', path, change: 'removed', aspects: [], before: state });
  }
  return [...changed, ...joinRenamed(added, removed)];
}

function statesOf(parts: readonly KeyPart[]): Map<string, FileState> {
  const states = new Map<string, FileState>();
  for (const { kind, name, value } of parts) {
    if (!FILE_KINDS.has(kind)) continue;
    const match = /^(\d+)(?: (\d+:\d+))? (.*)$/s.exec(value);
    if (!match) continue;
    const [, mode = '', owner = '0:0', rest = ''] = match;
    states.set(name.replace(/^\/(?=.)/, ''), { type: kind, mode, owner, value: rest.replace(/^-> /, '') });
  }
  return states;
}

function isSame(a: FileState, b: FileState): boolean {
  return a.type === b.type && a.mode === b.mode && a.owner === b.owner && a.value === b.value;
}

function changeOf(path: string, before: FileState, after: FileState, sameContent: ContentCheck): FileCause {
  const aspects: FileAspect[] = [];
  const cause = { kind: 'file', path, change: 'changed', before, after } as const;
  if (before.type !== after.type) return { ...cause, aspects: ['type'] };
  if (before.mode !== after.mode) aspects.push('mode');
  if (before.owner !== after.owner) aspects.push('owner');
  if (after.type === 'symlink') {
    if (before.value !== after.value) aspects.push('target');
    return { ...cause, aspects };
  }
  // The digest of a directory is that of its attributes, and so is that of a file in part.
  if (after.type === 'directory') return { ...cause, aspects: aspects.length > 0 ? aspects : ['content'] };
  const rest = sameContent(path, before, after);
  if (rest === 'extended attributes') return { ...cause, aspects: [...aspects, rest] };
  if (rest === 'differs' || aspects.length === 0) return { ...cause, aspects: ['content', ...aspects] };
  return { ...cause, aspects, ...(rest === undefined ? { atLeast: true } : {}) };
}

/** A file that went and one that came are one that was renamed, if nothing else is like them. */
function joinRenamed(added: readonly FileCause[], removed: readonly FileCause[]): FileCause[] {
  const textOf = (state: FileState | undefined) => (state?.type === 'file' ? JSON.stringify(state) : undefined);
  const gone = Map.groupBy(removed, ({ before }) => textOf(before));
  const come = Map.groupBy(added, ({ after }) => textOf(after));
  const joined = new Set<FileCause>();
  const result = added.map((cause): FileCause => {
    const text = textOf(cause.after);
    const [from, ...others] = text === undefined ? [] : (gone.get(text) ?? []);
    if (from === undefined || others.length > 0 || come.get(text)?.length !== 1) return cause;
    joined.add(from);
    return { ...cause, change: 'renamed', renamedFrom: from.path, ...(from.before ? { before: from.before } : {}) };
  });
  return [...result, ...removed.filter(cause => !joined.has(cause))];
}
