/**
 * The one stream of events of a build. Everything that happens is said here, as BuildKit's client sees it
 * (`moby.buildkit.v1.StatusResponse`), plus the key traces that explain hits and misses.
 */

/** Nanoseconds since the epoch. Milliseconds are too coarse to keep the order of events. */
export type Timestamp = bigint;

/** A set of vertices that progress shows as one. */
export interface ProgressGroup {
  readonly id: string;
  readonly name: string;
  readonly weak: boolean;
}

/** The state of a vertex; sent whole each time that any of it changes. */
export interface VertexEvent {
  readonly kind: 'vertex';
  readonly digest: string;
  readonly inputs: readonly string[];
  readonly name: string;
  readonly started?: Timestamp;
  readonly completed?: Timestamp;
  readonly cached: boolean;
  readonly error?: string;
  readonly progressGroup?: ProgressGroup;
  /** Position of the vertex's instruction in the Dockerfile, counted from 0; absent for what no instruction asked for. */
  readonly position?: number;
}

/** The progress of one thing inside a vertex: a layer's download, an export's phase. */
export interface StatusEvent {
  readonly kind: 'status';
  readonly id: string;
  readonly vertex: string;
  readonly name: string;
  readonly current: number;
  readonly total: number;
  readonly timestamp: Timestamp;
  readonly started?: Timestamp;
  readonly completed?: Timestamp;
}

/** Output of a step. `stream` is 1 for standard output, 2 for standard error. */
export interface LogEvent {
  readonly kind: 'log';
  readonly vertex: string;
  readonly stream: 1 | 2;
  readonly data: Uint8Array;
  readonly timestamp: Timestamp;
}

/** A range of a source file, lines and characters counted from 1 and 0 as BuildKit counts them. */
export interface SourceRange {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

/** The file that a location points into. */
export interface SourceInfo {
  readonly filename: string;
  readonly data: Uint8Array;
  readonly language?: string;
  /** The graph that loads the file, in the JSON form of `pb.Definition`; only `rawjson` shows it. */
  readonly definition?: unknown;
}

/** A warning of the frontend or of the engine. */
export interface WarningEvent {
  readonly kind: 'warning';
  readonly vertex: string;
  readonly level: number;
  readonly short: Uint8Array;
  readonly detail: readonly Uint8Array[];
  readonly url?: string;
  readonly sourceInfo?: SourceInfo;
  readonly ranges?: readonly SourceRange[];
}

/** One named thing that went into a cache key: `['env', 'NODE_ENV', 'production']`. */
export interface KeyPart {
  readonly kind: string;
  readonly name: string;
  readonly value: string;
}

/** What a vertex's key was made of and how the look-up ended. */
export interface KeyEvent {
  readonly kind: 'key';
  readonly vertex: string;
  readonly digest: string;
  /** `definition`: the op's cache map, or the selector of input `input`; `content`: the files of input `input`. */
  readonly source: 'definition' | 'content';
  readonly input?: number;
  readonly parts: readonly KeyPart[];
}

/** How a vertex's look-up ended, and where a hit came from. */
export interface OutcomeEvent {
  readonly kind: 'outcome';
  readonly vertex: string;
  readonly outcome: 'hit' | 'ran' | 'merged' | 'unneeded';
  /** The cache that a hit came from: `local`, or the identity of an import. */
  readonly cache?: string;
  /** The id of the record that was hit or saved. */
  readonly record?: string;
  /** When the result was made, if it was a hit. */
  readonly createdAt?: Timestamp;
  /** The vertex that this one was found equal to, if it was merged. */
  readonly mergedInto?: string;
  /** It ran because nothing was looked up for it (`--no-cache`). */
  readonly forced?: true;
  /** Results that were found for it but could not be used. */
  readonly unusable?: readonly UnusableResult[];
  /** Imported caches that know the step: with a result of other inputs, with one that is lost, or only by its key. */
  readonly known?: readonly { readonly cache: string; readonly what: 'result' | 'lost' | 'old' | 'key' }[];
}

/** A result that was found and could not be loaded, and why. */
interface UnusableResult {
  readonly cache: string;
  readonly reason: string;
}

/** A source of `--cache-from` was read, or could not be. */
interface CacheSourceEvent {
  readonly kind: 'cache-source';
  /** The identity that outcomes name. */
  readonly id: string;
  /** Where it lies, in words, if the identity does not tell. */
  readonly name?: string;
  readonly error?: string;
  /** It lies in the config of an image, which holds the layers of the image only. */
  readonly isInline?: boolean;
  /** Records in it, when the newest result was made, and when it was exported, if it says so. */
  readonly records?: number;
  readonly newest?: Timestamp;
  readonly exportedAt?: Timestamp;
}

/** A cache mount as a step finds it, before it runs. */
export interface CacheMountEvent {
  readonly kind: 'cache-mount';
  readonly vertex: string;
  readonly id: string;
  readonly target: string;
  readonly isEmpty: boolean;
}

/** A vertex that an instruction of the Dockerfile became. */
interface PlannedStep {
  readonly digest: string;
  /** The name of the stage, or `stage-<i>`; empty for an only stage. */
  readonly stage: string;
  /** Lines of the instruction, counted from 1. */
  readonly lines: { readonly start: number; readonly end: number };
  /** The instruction as written, continuation lines joined. */
  readonly text: string;
}

/** What a Dockerfile was planned into; one event for a build, before its steps. */
export interface PlanEvent {
  readonly kind: 'plan';
  readonly dockerfile: SourceInfo;
  /** The steps of each platform that is built for, in the order in which they were planned. */
  readonly platforms: readonly { readonly id: string; readonly steps: readonly PlannedStep[] }[];
}

export type BuildEvent =
  | VertexEvent
  | StatusEvent
  | LogEvent
  | WarningEvent
  | KeyEvent
  | OutcomeEvent
  | PlanEvent
  | CacheMountEvent
  | CacheSourceEvent;

/** Takes events in the order in which they happened. */
export type EventSink = (event: BuildEvent) => void;
