/** The key of a file op: its actions, and of each input the paths that they read (cache keys facts, 5). */
import { clone, type DescMessage, type Message } from '@bufbuild/protobuf';
import { hasPathWildcard } from '../../wire/fsutil/path-match.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import {
  type ChownOpt,
  type FileAction,
  FileActionCopySchema,
  FileActionMkDirSchema,
  FileActionMkFileSchema,
  FileActionRmSchema,
  FileActionSymlinkSchema,
  type FileOp,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import type { KeyPart } from '../status/event.ts';
import { absoluteSelector, compareBytes, dedupePaths, plainSelector, type Selector } from './content-selector.ts';
import { bytesJson, messageJson } from './message-json.ts';
import { fieldParts, type InputKey, InvalidOpError, type OpKey, opKey } from './op-key.ts';

/** The key of a file op with `inputs` inputs. Throws {@link InvalidOpError}. */
export function fileKey(op: FileOp, inputs: number): OpKey {
  if (op.actions.length === 0) throw new InvalidOpError('invalid file op with no actions');
  const selectors = new Map<number, Selector[]>();
  const select = (input: number, selector: Selector) => {
    const list = selectors.get(input);
    if (list) list.push(selector);
    else selectors.set(input, [selector]);
  };

  const written = new Set<number>();
  const texts: string[] = [];
  const parts: KeyPart[] = [];
  op.actions.forEach((action, index) => {
    written.add(Number(action.input));
    const [schema, message] = keyedAction(action, inputs);
    selectPaths(action, inputs, select);
    texts.push(bytesJson(Buffer.from(messageJson(schema, message))));
    parts.push(...fieldParts(action.action.case ?? '', `${index}.`, schema, message));
  });

  const indexes = op.actions.map(({ input, secondaryInput, output }) => `[${input},${secondaryInput},${output}]`);
  const defaults = isDefaultPattern(op.actions);
  if (!defaults) parts.push({ kind: 'indexes', name: '', value: indexes.join(' ') });
  const json = `{"Type":"buildkit.file.v0","Actions":[${texts.join(',')}]${defaults ? '' : `,"indexes":[${indexes.join(',')}]`}}`;

  for (const input of selectors.keys()) {
    if (input < 0 || input >= inputs)
      throw new InvalidOpError(`invalid input index ${input} in file op with ${inputs} inputs`);
  }
  const deps = Array.from({ length: inputs }, (_, input): InputKey => {
    const list = selectors.get(input);
    if (!list || written.has(input)) return { selector: '', selectorPaths: [], unlazy: true };
    // Highest first; that is how the first caches were made.
    const paths = list.map(selector => selector.path).sort((a, b) => compareBytes(b, a));
    return {
      selector: digestOf(paths.join('\0')),
      selectorPaths: paths,
      content: dedupeSelectors(list).map(absoluteSelector),
      unlazy: true,
    };
  });
  return opKey(json, parts, deps);
}

/** The action's own message as it is hashed. */
function keyedAction(action: FileAction, inputs: number): [DescMessage, Message] {
  switch (action.action.case) {
    case 'copy': {
      const copy = clone(FileActionCopySchema, action.action.value);
      if (readsInput(action, inputs)) copy.src = baseName(copy.src);
      return [FileActionCopySchema, copy];
    }
    case 'mkfile':
      return [FileActionMkFileSchema, action.action.value];
    case 'mkdir':
      return [FileActionMkDirSchema, action.action.value];
    case 'rm':
      return [FileActionRmSchema, action.action.value];
    case 'symlink':
      return [FileActionSymlinkSchema, action.action.value];
    default:
      throw new InvalidOpError('invalid file op with an unknown action');
  }
}

/** Whether a copy's source is an input of the op, not scratch or the result of an action. */
function readsInput(action: FileAction, inputs: number): boolean {
  return action.secondaryInput !== -1n && Number(action.secondaryInput) < inputs;
}

function selectPaths(action: FileAction, inputs: number, select: (input: number, selector: Selector) => void): void {
  switch (action.action.case) {
    case 'copy': {
      const copy = action.action.value;
      selectOwner(copy.owner, select);
      if (!readsInput(action, inputs)) return;
      select(Number(action.secondaryInput), {
        path: copy.src,
        followLinks: copy.followSymlink,
        wildcard: copy.allowWildcard && hasPathWildcard(copy.src),
        include: copy.includePatterns,
        exclude: copy.excludePatterns,
        required: copy.requiredPaths,
      });
      return;
    }
    case 'mkfile':
    case 'mkdir':
      selectOwner(action.action.value.owner, select);
  }
}

function selectOwner(owner: ChownOpt | undefined, select: (input: number, selector: Selector) => void): void {
  // A name to look up in scratch is an error of the action, not of the key.
  if (owner?.user?.user.case === 'byName' && owner.user.user.value.input >= 0)
    select(Number(owner.user.user.value.input), plainSelector('/etc/passwd', true));
  if (owner?.group?.user.case === 'byName' && owner.group.user.value.input >= 0)
    select(Number(owner.group.user.value.input), plainSelector('/etc/group', true));
}

/** What to checksum: plain paths without repetitions, those with wildcards or patterns as they are, in order of paths. */
function dedupeSelectors(selectors: readonly Selector[]): Selector[] {
  const isFlat = ({ wildcard, include, exclude }: Selector) => wildcard || include.length > 0 || exclude.length > 0;
  const plain = (follow: boolean) =>
    dedupePaths(
      selectors.filter(selector => !isFlat(selector) && selector.followLinks === follow).map(({ path }) => path),
    ).map(path => plainSelector(path, follow));
  return [...plain(false), ...plain(true), ...selectors.filter(isFlat)].sort((a, b) => compareBytes(a.path, b.path));
}

/**
 * The indices that the first keys did not have. They count from the number of actions where the solver counts from the
 * number of inputs, so a Dockerfile's COPY fits for one or two sources only.
 */
function isDefaultPattern(actions: readonly FileAction[]): boolean {
  return actions.every(
    ({ input, secondaryInput, output }, index) =>
      Number(input) === (index === 0 ? 0 : actions.length + index - 1) &&
      (secondaryInput === -1n || secondaryInput === 1n) &&
      Number(output) === (index === actions.length - 1 ? 0 : -1),
  );
}

/** The last name of a path as Go's `path.Base` gives it. */
function baseName(path: string): string {
  if (path === '') return '.';
  const trimmed = path.replace(/\/+$/, '');
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1);
}
