/** What is kept of a build, so that it can be shown and explained later. */

/** How a build ended. `interrupted`: its process died before it could say. */
export type BuildStatus = 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

/** What a build was asked for, as far as it is kept: no secret values, no credentials. */
export interface BuildOptions {
  readonly target?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly platforms?: readonly string[];
  readonly tags?: readonly string[];
  readonly outputs?: readonly string[];
  /** `all`, or the names of stages. */
  readonly noCache?: 'all' | readonly string[];
  readonly pull?: true;
  /** Cache mounts were empty at first, and nothing of them was kept. */
  readonly coldMounts?: true;
  readonly network?: string;
  readonly addHosts?: readonly string[];
  readonly namedContexts?: Readonly<Record<string, string>>;
  /** Ids. */
  readonly secrets?: readonly string[];
  readonly ssh?: readonly string[];
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
}

/** What is known of a build when it begins. */
export interface BuildStart {
  /** Random, for those who name builds beyond one machine. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The path or URL of the context. */
  readonly context: string;
  /** The path of the Dockerfile, `-` for one from standard input. */
  readonly dockerfile: string;
  readonly options: BuildOptions;
}

/** How many steps ended how. */
export interface StepCounts {
  /** Steps of the Dockerfile that this build needed. */
  readonly steps: number;
  readonly cached: number;
  readonly ran: number;
}

/** A build without its steps. */
export interface BuildSummary extends BuildStart {
  /** Counts up by one a build of this root. */
  readonly number: number;
  readonly status: BuildStatus;
  /** Milliseconds; undefined while it runs, and if it was interrupted. */
  readonly duration?: number;
  readonly error?: string;
  readonly counts?: StepCounts;
  /** What exporters answered: `containerimage.digest` and the like. */
  readonly response?: Readonly<Record<string, string>>;
  /** The digest of the text of the Dockerfile, once it was read. */
  readonly dockerfileText?: string;
  readonly sources?: readonly CacheSource[];
}

/** Where a step stands in the Dockerfile. */
export interface StepPlace {
  /** The name of the stage, or `stage-<i>`; empty for an only stage. */
  readonly stage: string;
  /** Counted from 1. */
  readonly line: number;
  readonly text: string;
  /** `linux/arm64`, when the build was for several. */
  readonly platform?: string;
}

/** One input of a step, as far as it went into the key. */
export interface InputKeys {
  /** The digest of the paths of the input that the step uses. */
  readonly selector?: string;
  /** The digest of the files of the input that the step uses, if it was computed. */
  readonly content?: string;
}

/** One vertex of a build. */
export interface StepRecord {
  readonly digest: string;
  readonly name: string;
  /** Positions in the build's list of steps. */
  readonly inputs: readonly number[];
  /** None for what no instruction became: sources, look-ups, exports. */
  readonly places: readonly StepPlace[];
  readonly outcome?: 'hit' | 'ran' | 'merged' | 'unneeded';
  /** The cache that a hit came from, `local` or the identity of an import. */
  readonly cache?: string;
  /** The id of the record that was hit or saved. */
  readonly record?: string;
  /** When the result was made; milliseconds since the epoch. */
  readonly createdAt?: number;
  /** Position of the step that this one was found equal to. */
  readonly mergedInto?: number;
  /** Nothing was looked up (`--no-cache`). */
  readonly forced?: true;
  readonly unusable?: readonly { readonly cache: string; readonly reason: string }[];
  /** Imported caches that know the step though it ran: with a result of other inputs, with one that is lost, or only by its key. */
  readonly known?: readonly { readonly cache: string; readonly what: 'result' | 'lost' | 'old' | 'key' }[];
  /** Shown as cached. */
  readonly cached?: true;
  readonly error?: string;
  /** Milliseconds since the build began. */
  readonly start?: number;
  /** Milliseconds, the time that it took in all. */
  readonly duration?: number;
  /** Milliseconds since the build began, of one that paused: then it is not `start` and `duration` together. */
  readonly end?: number;
  /** Digests of its cache maps, in the order in which the op gave them. */
  readonly definitions: readonly string[];
  readonly keys: readonly (InputKeys | null)[];
  /** The cache mounts of a step that ran, as it found them. */
  readonly cacheMounts?: readonly { readonly id: string; readonly target: string; readonly isEmpty: boolean }[];
  /** Bytes of output; the end of it is kept. */
  readonly logBytes?: number;
}

/** A source of `--cache-from` as the build found it. */
export interface CacheSource {
  readonly id: string;
  /** Where it lies, if that is not the id. */
  readonly name?: string;
  readonly error?: string;
  readonly isInline?: true;
  readonly records?: number;
  /** When its newest result was made, and when it was exported, if it says so; milliseconds since the epoch. */
  readonly newest?: number;
  readonly exportedAt?: number;
}

/** How a build ended. */
export interface BuildEnd {
  readonly status: 'done' | 'failed' | 'cancelled';
  readonly duration: number;
  readonly error?: string;
  readonly response?: Readonly<Record<string, string>>;
  readonly counts: StepCounts;
  readonly dockerfileText?: string;
  readonly sources?: readonly CacheSource[];
}
