import type { PatternMatcher } from '../../wire/fsutil/patterns.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { type ExpandedWord, expandWord, type Variables } from '../dockerfile/expand.ts';
import type { Instruction, StagedFile } from '../dockerfile/instruction.ts';
import type { Linter } from '../dockerfile/lint/linter.ts';
import type { Edge, ProxyEnv, Vertex } from '../llb/index.ts';
import type { BuildContext } from './build-context.ts';
import type { FrontendHost } from './host.ts';
import type { FrontendOptions } from './options.ts';
import type { StageState } from './stage.ts';
import type { OutlineArgNote } from './stage-outline.ts';

/** What planning for one platform has at hand. */
export interface PlanContext {
  readonly host: FrontendHost;
  readonly options: FrontendOptions;
  readonly source: BuildContext;
  readonly file: StagedFile;
  /** The escape character of the file. */
  readonly escapeChar: string;
  /** Whether features that may still change are allowed. */
  readonly labs: boolean;
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** Whether nobody asked for the target platform. */
  readonly isTargetImplicit: boolean;
  readonly buildArgs: Map<string, string>;
  /** Predefined arguments and those before the first FROM, with their values. */
  readonly globalArgs: Map<string, string>;
  /** Where arguments before the first FROM are declared. */
  readonly globalNotes: ReadonlyMap<string, OutlineArgNote>;
  /** Seconds since 1970 that things are dated with. */
  readonly epoch: number | undefined;
  /** Names of the arguments that exist globally, with or without a value. */
  readonly knownArgs: readonly string[];
  readonly proxy: ProxyEnv | undefined;
  readonly stages: StageTable;
  readonly linter: Linter;
  /** Plan also what the target does not need: for a check of the whole file. */
  readonly allStages: boolean;
  readonly signal: AbortSignal;
  /** The build context, once instructions are planned. */
  contextEdge: Edge | undefined;
  /** The patterns of files that the context lacks, once instructions are planned; undefined without any. */
  ignoreMatcher: PatternMatcher | undefined;
  /** What instructions became, in the order in which they were planned. */
  readonly steps: InstructionStep[];
}

/** A vertex that an instruction became. */
interface InstructionStep {
  readonly stage: StageState;
  readonly instruction: Instruction;
  readonly isTrigger: boolean;
  readonly vertex: Vertex;
}

/** The stages in order, and by name. */
export interface StageTable {
  readonly all: StageState[];
  readonly byName: Map<string, StageState>;
}

/** Adds a stage. It stands on an earlier one if its base is the name of one. */
export function addStage({ all, byName }: StageTable, stage: StageState): void {
  all.push(stage);
  stage.parent = byName.get(stage.base);
  if (stage.name !== '') byName.set(stage.name.toLowerCase(), stage);
}

/** Expands a word of the file. @throws ExpansionError */
export function expand({ escapeChar }: PlanContext, word: string, variables: Variables): ExpandedWord {
  return expandWord(word, variables, { escape: escapeChar });
}
