import { ExpansionError, expandHeredoc, expandWords, type Lookups } from '../dockerfile/expand.ts';
import type { Linter } from '../dockerfile/lint/linter.ts';
import { lintVariables } from '../dockerfile/lint/plan-rules.ts';
import type { Vertex } from '../llb/vertex.ts';
import { expand, type PlanContext } from './plan-context.ts';
import type { Command, StageState } from './stage.ts';
import { upperCaseKeyword } from './step-name.ts';

/** An instruction where it is planned. */
export interface InstructionScope {
  readonly context: PlanContext;
  readonly stage: StageState;
  readonly command: Command;
  /** Expands a word with the variables of the stage. @throws ExpansionError */
  word(text: string): string;
  /** The same, split at blanks. @throws ExpansionError */
  words(text: string): readonly string[];
  /** Expands an inline document. @throws ExpansionError */
  document(text: string): string;
  readonly linter: Linter;
  /** Notes a step that the instruction becomes. */
  addStep(vertex: Vertex): void;
}

export function scopeOf(context: PlanContext, stage: StageState, command: Command): InstructionScope {
  const { instruction } = command;
  const linter = context.linter.withComments(instruction.node.comments);
  const checked = <Result extends Lookups>(result: Result): Result => {
    if (result.unset.size > 0) {
      const declared = new Set(stage.args.map(({ key }) => key));
      lintVariables(linter, instruction.lines, result.unset, { declared, names: stage.env.keys() });
    }
    return result;
  };
  return {
    context,
    stage,
    command,
    linter,
    word: text => checked(expand(context, text, stage.env)).text,
    words: text => expandWords(text, stage.env, { escape: context.escapeChar }).words,
    document: text => checked(expandHeredoc(text, stage.env)).text,
    addStep: vertex => {
      context.steps.push({ stage, instruction, isTrigger: command.isTrigger, vertex });
    },
  };
}

/** The instruction as its step shows it: variables expanded, keyword in upper case. */
export function displayText({ context, stage, command }: InstructionScope): string {
  const { source } = command.instruction;
  try {
    return upperCaseKeyword(expand(context, source, stage.env).text);
  } catch (error) {
    if (error instanceof ExpansionError) return upperCaseKeyword(source);
    throw error;
  }
}
