/** Why a step ran: the facts that were found to differ, by name. This is also what `--json` prints. */

/** What of a file counts for a key. */
export interface FileState {
  readonly type: string;
  /** Octal, four digits. */
  readonly mode: string;
  /** `uid:gid` */
  readonly owner: string;
  /** Digest of attributes and content; of a link its target. */
  readonly value: string;
}

export type FileAspect = 'content' | 'mode' | 'owner' | 'type' | 'target' | 'extended attributes';

/** A file that a step reads is not what it was. */
export interface FileCause {
  readonly kind: 'file';
  /** Relative to the root of the build context or of the stage. */
  readonly path: string;
  readonly change: 'changed' | 'added' | 'removed' | 'renamed';
  /** What of it changed; more may have when `atLeast` is set. */
  readonly aspects: readonly FileAspect[];
  readonly atLeast?: true;
  readonly renamedFrom?: string;
  readonly before?: FileState;
  readonly after?: FileState;
  /** The file is, or was, left out by `.dockerignore`, whose patterns changed. */
  readonly ignore?: true;
}

/** An ARG or ENV that a step sees has another value. */
interface VariableCause {
  readonly kind: 'variable';
  readonly instruction: 'ARG' | 'ENV';
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
  /** Where the new value comes from: `--build-arg`, or a line of the Dockerfile. */
  readonly from: 'build-arg' | 'dockerfile';
  readonly line?: number;
}

/** The Dockerfile says something else. */
interface InstructionCause {
  readonly kind: 'instruction';
  readonly change: 'changed' | 'added' | 'removed' | 'moved';
  readonly stage: string;
  /** In the new file, or in the old one if it is gone. */
  readonly line: number;
  readonly before?: string;
  readonly after?: string;
}

/** A name means another image now. */
export interface BaseCause {
  readonly kind: 'base';
  /** As the Dockerfile names it. */
  readonly reference: string;
  readonly before: string;
  readonly after: string;
  /** When each was resolved, milliseconds since the epoch. */
  readonly beforeAt: number;
  readonly afterAt: number;
  /** Only the config differs, the layers are the same. */
  readonly sameLayers?: true;
}

/** A git repository or download is not what it was. */
interface SourceCause {
  readonly kind: 'source';
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
}

/** The step is for another platform. */
interface PlatformCause {
  readonly kind: 'platform';
  readonly before?: string;
  readonly after?: string;
}

/** A flag of the build says something else. */
interface OptionCause {
  readonly kind: 'option';
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
}

/** Parts of a key that differ for a reason that was not found. */
interface PartCause {
  readonly kind: 'part';
  readonly part: string;
  readonly before?: string;
  readonly after?: string;
}

/** The key is known, and no result was there for it. */
export interface RecordCause {
  readonly kind: 'record';
  readonly reason:
    | 'first-build'
    | 'never-built'
    | 'no-cache'
    | 'failed'
    | 'pruned'
    | 'unusable'
    | 'uncacheable'
    /** An import that was given knows the key, but was exported without the result. */
    | 'key-only'
    /** An import that was given holds a result of the step, made from other inputs. */
    | 'other-inputs'
    /** An import that was given holds a result of the step that is older than `--cache-max-age` allows. */
    | 'too-old'
    /** An import that was given could not be read. */
    | 'unreadable-source'
    /** No import that was given knows the step. */
    | 'not-exported'
    /** The result was in an import that this build was not given. */
    | 'source-not-given'
    /** A step below was forced to run since, so what was made of its earlier result is not used. */
    | 'made-anew'
    | 'lost';
  /** The build that a reason is about. */
  readonly build?: number;
  /** Words of whoever knows: the rule that pruned, the error. */
  readonly detail?: string;
  /** Milliseconds since the epoch. */
  readonly at?: number;
  /** Bytes. */
  readonly size?: number;
  readonly lastUsedAt?: number;
}

export type Cause =
  | FileCause
  | VariableCause
  | InstructionCause
  | BaseCause
  | SourceCause
  | PlatformCause
  | OptionCause
  | PartCause
  | RecordCause;

/** Two causes with the same key are one, whichever steps they were found at. */
export function causeKey(cause: Cause): string {
  switch (cause.kind) {
    case 'file':
      return `file ${cause.path} ${cause.change} ${cause.before?.value} ${cause.after?.value}`;
    case 'variable':
      return `variable ${cause.instruction} ${cause.name}`;
    case 'instruction':
      return `instruction ${cause.stage} ${cause.line} ${cause.change}`;
    case 'base':
      return `base ${cause.reference}`;
    case 'record':
      return `record ${cause.reason} ${cause.detail ?? ''}`;
    case 'part':
      return `part ${cause.part} ${cause.before} ${cause.after}`;
    case 'platform':
      return `platform ${cause.before} ${cause.after}`;
    default:
      return `${cause.kind} ${cause.name}`;
  }
}
