/** Plans graphs step by step: a state is a tree of files and how a process would be run on it. States are values. */

import { cleanPath } from '../../wire/fsutil/go-path.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { type BuildOptions, buildVertex } from './build-op.ts';
import { marshalGraph } from './definition.ts';
import { type ExecSpec, type ExtraHost, execVertex, type Mount, type Ulimit } from './exec.ts';
import { type Copy, type FileAction, fileVertex } from './file.ts';
import { diffEdges, mergeEdges } from './merge.ts';
import { passthroughVertex } from './passthrough.ts';
import {
  type GitOptions,
  gitSource,
  type HttpOptions,
  httpSource,
  type ImageOptions,
  imageSource,
  type LocalOptions,
  localSource,
  type OciLayoutOptions,
  ociLayoutSource,
} from './source.ts';
import type { Edge, GraphOptions, VertexOptions } from './vertex.ts';

export interface State {
  /** The files; nothing is scratch. */
  readonly edge: Edge | undefined;
  readonly dir: string;
  /** In the order in which they were last set. */
  readonly env: ReadonlyMap<string, string>;
  readonly user?: string;
  readonly hostname?: string;
  readonly extraHosts?: readonly ExtraHost[];
  readonly ulimits?: readonly Ulimit[];
  readonly cgroupParent?: string;
  readonly network?: 'sandbox' | 'host' | 'none';
  readonly security?: 'sandbox' | 'insecure';
  /** Of the image that the state began with. */
  readonly platform?: Platform;
}

/** The empty tree. */
export const scratch: State = { edge: undefined, dir: '/', env: new Map() };

/** A state with these files and no settings. */
export function stateOf(edge: Edge | undefined, platform?: Platform): State {
  return { ...scratch, edge, ...(platform === undefined ? {} : { platform }) };
}

/** The files of an image. Its config is not looked at: set the environment and the directory that it should have. */
export function image(reference: string, options: ImageOptions = {}): State {
  return stateOf(imageSource(reference, options), options.platform);
}

/** The files of an image in an OCI layout of the client. */
export function ociLayout(reference: string, options: OciLayoutOptions = {}): State {
  return stateOf(ociLayoutSource(reference, options), options.platform);
}

/** A directory of the client. */
export function local(name: string, options: LocalOptions = {}): State {
  return stateOf(localSource(name, options));
}

/** A git repository, or a part of it. */
export function git(remote: string, options: GitOptions = {}): State {
  return stateOf(gitSource(remote, options));
}

/** A downloaded file. */
export function http(url: string, options: HttpOptions = {}): State {
  return stateOf(httpSource(url, options));
}

/** The state with another directory; a relative one is below the current one. */
export function withDir(state: State, dir: string): State {
  return { ...state, dir: dir.startsWith('/') ? dir : cleanPath(`${state.dir}/${dir}`) };
}

/** The state with variables set. One that was set before moves to the end. */
export function withEnv(state: State, variables: Readonly<Record<string, string>>): State {
  const env = new Map(state.env);
  for (const [key, value] of Object.entries(variables)) {
    env.delete(key);
    env.set(key, value);
  }
  return { ...state, env };
}

/** How one process differs from what the state says. */
export type RunOptions = VertexOptions &
  Omit<Partial<ExecSpec>, 'args' | 'root' | 'mounts' | 'env' | 'cwd'> & {
    readonly dir?: string;
    /** Set for this process only. */
    readonly env?: Readonly<Record<string, string>>;
    readonly mounts?: readonly RunMount[];
  };

/** A mount whose source is a state. */
export type RunMount = Omit<Mount, 'source'> & { readonly source?: State };

export interface Run {
  /** The state after the process. */
  readonly root: State;
  /** What the process left in each of its mounts, in the order in which they were given. */
  readonly mounts: readonly State[];
}

/** Runs a process on the state. */
export function run(state: State, args: readonly string[], options: RunOptions = {}): Run {
  const { dir, env = {}, mounts = [], ...rest } = options;
  const at = withEnv(dir === undefined ? state : withDir(state, dir), env);
  const { edge, platform, dir: cwd, env: variables, ...settings } = at;
  const result = execVertex(
    {
      ...settings,
      ...rest,
      args,
      cwd,
      env: [...variables].map(([key, value]) => `${key}=${value}`),
      root: edge,
      ...(platform === undefined ? {} : { basePlatform: platform }),
      mounts: mounts.map(({ source, ...mount }) => ({ ...mount, source: source?.edge })),
    },
    rest,
  );
  return { root: { ...state, edge: result.root }, mounts: result.mounts.map(mount => stateOf(mount, platform)) };
}

/** A copy whose source is a state. */
export type CopyFrom = Omit<Copy, 'from' | 'kind' | 'srcDir'>;

/** A copy from a state; a relative `src` is below that state's directory. */
export function copy(from: State, options: CopyFrom): Copy {
  return { ...options, kind: 'copy', from: from.edge, srcDir: from.dir };
}

/** The state with its files changed, action by action, in one step. There must be at least one action. */
export function change(state: State, actions: readonly FileAction[], options: VertexOptions = {}): State {
  return { ...state, edge: fileVertex({ base: state.edge, dir: state.dir, actions }, options) };
}

/** The first state with the files of the others laid over its own. */
export function merge(states: readonly State[], options: VertexOptions = {}): State {
  return {
    ...(states[0] ?? scratch),
    edge: mergeEdges(
      states.map(state => state.edge),
      options,
    ),
  };
}

/** What turns the files of one state into those of another. */
export function diff(lower: State, upper: State, options: VertexOptions = {}): State {
  return { ...upper, edge: diffEdges(lower.edge, upper.edge, options) };
}

/** The result of a graph whose definition is a file of the state. */
export function solveDefinitionIn(state: State & { readonly edge: Edge }, options: BuildOptions = {}): State {
  return stateOf(buildVertex(state.edge, options));
}

/** The state, but not before others are there too. */
export function require(
  state: State & { readonly edge: Edge },
  id: string,
  required: readonly State[],
  options: VertexOptions = {},
): State {
  return {
    ...state,
    edge: passthroughVertex(
      id,
      state.edge,
      required.map(other => other.edge),
      options,
    ),
  };
}

/** The definition of the graph below a state. @throws MarshalError when a text of an op is not valid Unicode */
export function marshal(state: State, options: GraphOptions): Definition {
  return marshalGraph(state.edge, options).definition;
}
