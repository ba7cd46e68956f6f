import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Instruction } from '../dockerfile/instruction.ts';
import type { LineRange } from '../dockerfile/source.ts';
import type { Edge, SourceLocation, SourceMap } from '../llb/vertex.ts';
import { blankImage, cloneImage, type ImageDraft } from './image-draft.ts';
import type { NamedContext } from './named-context.ts';
import { newOutline, type StageOutline } from './stage-outline.ts';

/** An instruction with the stages that it reads. */
export interface Command {
  readonly instruction: Instruction;
  /** COPY: the one of `--from`, if given. RUN: one per mount. */
  readonly sources: readonly StageState[];
  readonly isTrigger: boolean;
}

/** An argument that a stage declared, with its value if it got one. */
interface DeclaredArg {
  readonly key: string;
  readonly value: string | undefined;
}

/**
 * A stage while it is planned: one of the file, or an image that a `--from` names. The members from `edge` on are what
 * instructions change.
 */
export interface StageState {
  readonly name: string;
  /** What FROM names, expanded; once it is resolved, the normalised reference. */
  base: string;
  readonly instructions: readonly Instruction[];
  /** The lines of FROM, or of the COPY that names the image; a mount has none. */
  readonly lines: LineRange | undefined;
  /** FROM as written. */
  readonly source: string;
  /** What a comment says about it, else empty. */
  readonly doc: string;
  /** Only named by a `--from`. */
  readonly isImageOnly: boolean;
  /** What step names show; empty if there is only one stage. */
  shownName: string;
  parent: StageState | undefined;
  /** The stages that instructions read, each with the lines of one that does. */
  readonly needs: Map<StageState, LineRange>;
  commands: Command[];
  namedContext: NamedContext | undefined;
  ignoreCache: boolean;
  /** Whether the base is looked up already, the instructions are planned, and the triggers of the parent are added. */
  isResolved: boolean;
  isPlanned: boolean;
  hasTriggers: boolean;
  /** How many steps names count, and the number of the last one named. */
  stepTotal: number;
  stepNumber: number;
  /** The stage's paths that others read; shared with the stages that are built on it. */
  usedPaths: Set<string>;
  /** The paths of the build context that instructions read. */
  readonly contextPaths: Set<string>;

  edge: Edge | undefined;
  /** As given; steps have it normalised. */
  platform: Platform | undefined;
  /** Of the image that the files began with, normalised. */
  filesPlatform: Platform | undefined;
  /** What RUN gets, in the order in which it was last set. */
  env: Map<string, string>;
  dir: string;
  user: string;
  args: DeclaredArg[];
  image: ImageDraft;
  /** The config of the base image as it was looked up. */
  baseImage: ImageDraft | undefined;
  hasWorkdir: boolean;
  /** Its parameters, for a client that asks for them. */
  outline: StageOutline;
  readonly lastOf: { cmd?: LineRange; entrypoint?: LineRange; healthcheck?: LineRange };
}

/** A stage that nothing was done for yet. */
export function newStage(
  given: Pick<StageState, 'name' | 'base' | 'instructions' | 'lines' | 'source' | 'doc' | 'isImageOnly' | 'shownName'>,
): StageState {
  return {
    ...given,
    parent: undefined,
    needs: new Map(),
    commands: [],
    namedContext: undefined,
    ignoreCache: false,
    isResolved: false,
    isPlanned: false,
    hasTriggers: false,
    stepTotal: 0,
    stepNumber: 0,
    usedPaths: new Set(),
    contextPaths: new Set(),
    edge: undefined,
    platform: undefined,
    filesPlatform: undefined,
    env: new Map(),
    dir: '/',
    user: '',
    args: [],
    image: blankImage(),
    baseImage: undefined,
    hasWorkdir: false,
    outline: newOutline(),
    lastOf: {},
  };
}

/** Gives a stage what its parent stage has become. */
export function inherit(stage: StageState): void {
  const { parent } = stage;
  if (parent === undefined) return;
  stage.edge = parent.edge;
  stage.platform = parent.platform;
  stage.filesPlatform = parent.filesPlatform;
  stage.env = new Map(parent.env);
  stage.dir = parent.dir;
  stage.user = parent.user;
  stage.args = [...parent.args];
  stage.image = cloneImage(parent.image);
  stage.image.config.onBuild = [];
  stage.baseImage = parent.baseImage;
  stage.usedPaths = parent.usedPaths;
  stage.hasWorkdir = parent.hasWorkdir;
}

/** Sets a variable of the steps; it comes last then. */
export function setStageEnv(stage: StageState, key: string, value: string): void {
  stage.env.delete(key);
  stage.env.set(key, value);
}

/** The place of a step: one line after the other, or none of the file's lines. */
export function locationOf(map: SourceMap, lines: LineRange | undefined): SourceLocation {
  if (lines === undefined) return { map, lines: [] };
  return { map, lines: Array.from({ length: lines.end - lines.start + 1 }, (_, i) => lines.start + i) };
}

/** The stages that a stage is built on or reads, with itself. */
export function reachableFrom(stage: StageState): Set<StageState> {
  const reachable = new Set([stage]);
  for (const next of reachable) {
    if (next.parent !== undefined) reachable.add(next.parent);
    for (const needed of next.needs.keys()) reachable.add(needed);
  }
  return reachable;
}

/** Paths as a local source follows them: relative, sorted; none when all of the directory is wanted. */
export function followPathsOf(
  paths: ReadonlySet<string>,
  compare: (a: string, b: string) => number,
): readonly string[] {
  if (paths.has('/')) return [];
  return [...paths].map(path => (path.startsWith('/') ? path.slice(1) : path)).sort(compare);
}
