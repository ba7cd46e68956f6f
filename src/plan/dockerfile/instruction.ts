import type { InstructionNode } from './node.ts';
import type { LineRange } from './source.ts';

/** What every instruction has, whatever its kind. */
export interface InstructionBase {
  /** The keyword as written. */
  readonly keyword: string;
  readonly lines: LineRange;
  /** The logical line as written (`InstructionNode.original`): what step names and messages show. */
  readonly source: string;
  readonly node: InstructionNode;
}

interface InstructionOf<Kind extends string> extends InstructionBase {
  readonly kind: Kind;
}

export interface ArgDefinition {
  readonly key: string;
  /** The default, not expanded. */
  readonly value: string | undefined;
  /** The text of the attached comment `# <key> text`, else empty. */
  readonly doc: string;
}

export interface ArgInstruction extends InstructionOf<'ARG'> {
  readonly args: readonly ArgDefinition[];
}

/** A pair of ENV or LABEL, not expanded. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Written as `KEY value`, without `=`. */
  readonly legacy: boolean;
}

export interface EnvInstruction extends InstructionOf<'ENV'> {
  readonly pairs: readonly KeyValue[];
}

export interface LabelInstruction extends InstructionOf<'LABEL'> {
  readonly pairs: readonly KeyValue[];
}

export interface MaintainerInstruction extends InstructionOf<'MAINTAINER'> {
  readonly maintainer: string;
}

/** A file whose content stands in the Dockerfile. */
export interface InlineFile {
  readonly path: string;
  /** Tabs of `<<-` are already dropped. Not expanded. */
  readonly data: string;
  readonly expand: boolean;
}

/** What ADD and COPY have in common. */
export interface FileArguments {
  /** Paths, URLs and git references, not expanded; heredocs are in `contents`. */
  readonly sources: readonly string[];
  readonly destination: string;
  readonly contents: readonly InlineFile[];
  /** The flag values, not expanded, empty when not given. */
  readonly chown: string;
  readonly chmod: string;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

export interface AddInstruction extends InstructionOf<'ADD'>, FileArguments {
  readonly checksum: string;
  readonly keepGitDir: boolean | undefined;
  readonly unpack: boolean | undefined;
}

export interface CopyInstruction extends InstructionOf<'COPY'>, FileArguments {
  readonly from: string;
  readonly parents: boolean;
}

/** A command in the exec (JSON) or the shell form. */
export interface Command {
  /** Exec form: the argument vector. Shell form: one text, or none. */
  readonly args: readonly string[];
  readonly shellForm: boolean;
}

/** A heredoc of RUN. */
export interface RunFile {
  readonly name: string;
  /** Leading tabs included; `chomp` says whether they are to be dropped. */
  readonly data: string;
  readonly chomp: boolean;
}

/** A `--mount` before its options are read, which needs the variables in force (readMounts). */
export interface MountFlag {
  /** The comma-separated fields, as they are after CSV quoting is removed. */
  readonly fields: readonly string[];
  /** The value of `from`, empty when not given. It is never expanded. */
  readonly from: string;
}

export interface DeviceFlag {
  readonly name: string;
  readonly required: boolean;
}

export interface RunInstruction extends InstructionOf<'RUN'>, Command {
  readonly files: readonly RunFile[];
  /** Names of the flags that were given, sorted. */
  readonly flagsUsed: readonly string[];
  readonly mounts: readonly MountFlag[];
  readonly devices: readonly DeviceFlag[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
}

export interface CmdInstruction extends InstructionOf<'CMD'>, Command {}

export interface EntrypointInstruction extends InstructionOf<'ENTRYPOINT'>, Command {}

export interface ExposeInstruction extends InstructionOf<'EXPOSE'> {
  /** Sorted bytewise, not expanded. */
  readonly ports: readonly string[];
}

export interface VolumeInstruction extends InstructionOf<'VOLUME'> {
  readonly volumes: readonly string[];
}

export interface UserInstruction extends InstructionOf<'USER'> {
  readonly user: string;
}

export interface WorkdirInstruction extends InstructionOf<'WORKDIR'> {
  readonly path: string;
}

export interface StopSignalInstruction extends InstructionOf<'STOPSIGNAL'> {
  readonly signal: string;
}

export interface ShellInstruction extends InstructionOf<'SHELL'> {
  readonly shell: readonly string[];
}

/** Durations are nanoseconds; 0 is "not set". */
export interface HealthCheck {
  /** As in the image config: `NONE`, or `CMD` and the argument vector, or `CMD-SHELL` and one text. */
  readonly test: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

export interface HealthCheckInstruction extends InstructionOf<'HEALTHCHECK'>, HealthCheck {}

export interface OnbuildInstruction extends InstructionOf<'ONBUILD'> {
  /** What the image config stores: the trigger as written, with its heredocs. */
  readonly expression: string;
}

/** An instruction of a stage. */
export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthCheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopSignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

/** A FROM and the instructions up to the next one. */
export interface Stage {
  /** `FROM` as written. */
  readonly keyword: string;
  /** Not expanded. */
  readonly base: string;
  /** Lower-cased; empty when not given. */
  readonly name: string;
  /** The value of `--platform`, not expanded; empty when not given. */
  readonly platform: string;
  /** The text of the attached comment `# <name> text`, else empty. */
  readonly doc: string;
  readonly lines: LineRange;
  readonly source: string;
  readonly node: InstructionNode;
  readonly instructions: readonly Instruction[];
}

/** The stages of a file and the ARG instructions before the first of them. */
export interface StagedFile {
  readonly metaArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
}
