import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { cleanPath } from '../../wire/fsutil/go-path.ts';
import {
  type ChownOptSchema,
  type FileAction as FileActionMessage,
  FileActionSchema,
  type Input,
  type UserOptSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { indexOfInput } from './exec.ts';
import { makeOp } from './op.ts';
import type { Edge, EncodeContext, VertexOptions } from './vertex.ts';

const NONE = -1n;
const MAX_ID = 2 ** 31 - 1;

/** Files that actions made inside the same step; a copy may take from them. */
export interface FileChain {
  readonly base: Edge | undefined;
  /** Directory of relative paths. */
  readonly dir?: string;
  readonly actions: readonly FileAction[];
}

/** Owner of what an action makes: `user[:group]` by name or decimal id; an empty part is id 0. */
export type Owner = string;

/** One change of a tree. Relative paths are below the step's directory; times are nanoseconds since 1970. */
export type FileAction = MakeDirectory | MakeFile | Remove | Symlink | Copy;

export interface MakeDirectory {
  readonly kind: 'mkdir';
  readonly path: string;
  /** Permission bits; others are dropped. */
  readonly mode: number;
  readonly parents?: boolean;
  readonly owner?: Owner;
  readonly timestamp?: bigint;
}

export interface MakeFile {
  readonly kind: 'mkfile';
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly owner?: Owner;
  readonly timestamp?: bigint;
}

export interface Remove {
  readonly kind: 'rm';
  readonly path: string;
  readonly allowNotFound?: boolean;
  readonly allowWildcard?: boolean;
}

export interface Symlink {
  readonly kind: 'symlink';
  /** What the link says; kept as it is. */
  readonly target: string;
  readonly path: string;
  readonly owner?: Owner;
  readonly timestamp?: bigint;
}

export interface Copy {
  readonly kind: 'copy';
  /** Nothing is scratch. */
  readonly from: Edge | FileChain | undefined;
  readonly src: string;
  /** The directory of a relative `src` when `from` is an edge. */
  readonly srcDir?: string;
  /** A final `/` or `/.` is kept. */
  readonly dest: string;
  readonly owner?: Owner;
  /** Octal bits, or a symbolic mode as `chmod` takes it. */
  readonly mode?: number | string;
  readonly followSymlink?: boolean;
  readonly dirCopyContents?: boolean;
  readonly attemptUnpack?: boolean;
  readonly createDestPath?: boolean;
  readonly allowWildcard?: boolean;
  readonly allowEmptyWildcard?: boolean;
  readonly alwaysReplaceExistingDestPaths?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly requiredPaths?: readonly string[];
  readonly timestamp?: bigint;
}

/** A step that changes files, action by action. There must be at least one. */
export function fileVertex(chain: FileChain, options: VertexOptions = {}): Edge {
  return {
    output: 0,
    vertex: {
      inputs: () => visited(chain),
      encode: context => ({ op: encodeFile(context, chain, options), capabilities: ['file.base'], options }),
    },
  };
}

function isChain(from: Edge | FileChain): from is FileChain {
  return 'actions' in from;
}

/** From the last action backwards: what it changes, then what it copies from. */
function visited(chain: FileChain): Edge[] {
  return chain.actions.toReversed().flatMap(action => {
    const from = action.kind === 'copy' ? action.from : undefined;
    const source = from === undefined ? [] : isChain(from) ? visited(from) : [from];
    return [...(chain.base === undefined ? [] : [chain.base]), ...source];
  });
}

interface Placed {
  readonly action: FileAction;
  readonly dir: string;
  /** The input that is written on: user names are looked up there. */
  readonly base: bigint;
  readonly input: Index;
  readonly secondary: Index;
}

/** Of an input, or of the result of an earlier action. */
type Index = { readonly input: bigint } | { readonly action: number };

function encodeFile(context: EncodeContext, chain: FileChain, options: VertexOptions) {
  const inputs: Input[] = [];
  const placed: Placed[] = [];
  place(context, chain, inputs, placed);
  const absolute = (index: Index) => ('input' in index ? index.input : BigInt(inputs.length + index.action));
  const actions = placed.map(({ action, dir, base, input, secondary }, i) =>
    create(FileActionSchema, {
      input: absolute(input),
      secondaryInput: absolute(secondary),
      output: i === placed.length - 1 ? 0n : NONE,
      action: actionMessage(action, dir, base),
    }),
  );
  return makeOp(context, options, 'without platform', { inputs, op: { case: 'file', value: { actions } } });
}

/** Adds the chain's actions behind those that are there; returns the place of the last one. */
function place(context: EncodeContext, chain: FileChain, inputs: Input[], placed: Placed[]): number {
  let before: number | undefined;
  for (const action of chain.actions) {
    const base = indexOfInput(context, inputs, chain.base);
    const from = action.kind === 'copy' ? action.from : undefined;
    const secondary: Index =
      from !== undefined && isChain(from)
        ? { action: place(context, from, inputs, placed) }
        : { input: indexOfInput(context, inputs, from) };
    const input: Index = before === undefined ? { input: base } : { action: before };
    before = placed.push({ action, dir: chain.dir ?? '/', base, input, secondary }) - 1;
  }
  return before ?? -1;
}

function actionMessage(action: FileAction, dir: string, base: bigint): FileActionMessage['action'] {
  return create(FileActionSchema, { action: actionInit(action, dir, base) }).action;
}

type ActionInit = NonNullable<Exclude<MessageInitShape<typeof FileActionSchema>, FileActionMessage>['action']>;

function actionInit(action: FileAction, dir: string, base: bigint): ActionInit {
  const timestamp = ('timestamp' in action ? action.timestamp : undefined) ?? -1n;
  const owner = 'owner' in action && action.owner !== undefined ? { owner: ownerMessage(action.owner, base) } : {};
  switch (action.kind) {
    case 'mkdir': {
      const { mode, parents: makeParents = false } = action;
      const path = absolutePath(dir, action.path);
      return { case: 'mkdir', value: { path, mode: mode & 0o777, makeParents, timestamp, ...owner } };
    }
    case 'mkfile': {
      const { mode, data } = action;
      const path = absolutePath(dir, action.path);
      return { case: 'mkfile', value: { path, mode: mode & 0o777, data, timestamp, ...owner } };
    }
    case 'rm': {
      const { allowNotFound = false, allowWildcard = false } = action;
      return { case: 'rm', value: { path: absolutePath(dir, action.path), allowNotFound, allowWildcard } };
    }
    case 'symlink':
      return { case: 'symlink', value: { oldpath: action.target, newpath: action.path, timestamp, ...owner } };
    case 'copy':
      return { case: 'copy', value: { ...copyInit(action, dir), timestamp, ...owner } };
  }
}

function copyInit(action: Copy, dir: string) {
  const { from, mode = -1 } = action;
  const srcDir = (from !== undefined && isChain(from) ? from.dir : action.srcDir) ?? '/';
  return {
    src: absolutePath(srcDir, action.src),
    dest: keepFinalSlash(action.dest, absolutePath(dir, action.dest)),
    ...(typeof mode === 'string' ? { modeStr: mode } : { mode }),
    followSymlink: action.followSymlink ?? false,
    dirCopyContents: action.dirCopyContents ?? false,
    attemptUnpackDockerCompatibility: action.attemptUnpack ?? false,
    createDestPath: action.createDestPath ?? false,
    allowWildcard: action.allowWildcard ?? false,
    allowEmptyWildcard: action.allowEmptyWildcard ?? false,
    alwaysReplaceExistingDestPaths: action.alwaysReplaceExistingDestPaths ?? false,
    includePatterns: [...(action.includePatterns ?? [])],
    excludePatterns: [...(action.excludePatterns ?? [])],
    requiredPaths: [...(action.requiredPaths ?? [])],
  };
}

function absolutePath(dir: string, path: string): string {
  return cleanPath(path.startsWith('/') ? path : `/${dir}/${path}`);
}

function keepFinalSlash(written: string, clean: string): string {
  if (written.endsWith('/')) return clean.endsWith('/') ? clean : `${clean}/`;
  if (written.endsWith('/.')) return clean === '/' ? '/.' : `${clean}/.`;
  return clean;
}

/** `user[:group]`: `root` and decimal numbers are ids, an empty part is id 0, all else are names. */
function ownerMessage(text: Owner, base: bigint): MessageInitShape<typeof ChownOptSchema> {
  const colon = text.indexOf(':');
  if (colon < 0) return { user: userMessage(text, base) };
  return { user: userMessage(text.slice(0, colon), base), group: userMessage(text.slice(colon + 1), base) };
}

function userMessage(name: string, base: bigint): MessageInitShape<typeof UserOptSchema> {
  if (name === '' || name === 'root') return { user: { case: 'byID', value: 0 } };
  const id = /^[+-]?[0-9]+$/.test(name) ? Number(name) : Number.NaN;
  if (id >= -MAX_ID - 1 && id <= MAX_ID) return { user: { case: 'byID', value: id >>> 0 } };
  return { user: { case: 'byName', value: { name, input: base } } };
}
