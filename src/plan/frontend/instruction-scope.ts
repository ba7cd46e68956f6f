import { ExpansionError, expandHeredoc, expandWords, type Lookups } from '../dockerfile/expand.ts';
import type { Instruction } from '../dockerfile/instruction.ts';
import { suggest } from '../dockerfile/suggest.ts';
import type { Vertex } from '../llb/vertex.ts';
import { expand, type PlanContext } from './plan-context.ts';
import type { Command, StageState } from './stage.ts';
import { upperCaseKeyword } from './step-name.ts';

/** Arguments that never become variables. */
export const HIDDEN_ARGS: ReadonlySet<string> = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE']);

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
  /** Says what a build check found at the instruction. */
  report(rule: string, message: string, lines?: Instruction['lines']): void;
  /** Notes a step that the instruction becomes. */
  addStep(vertex: Vertex): void;
}

export function scopeOf(context: PlanContext, stage: StageState, command: Command): InstructionScope {
  const { instruction } = command;
  const report = (rule: string, message: string, lines = instruction.lines) => {
    context.lint.report(rule, message, lines, instruction.node.comments);
  };
  const checked = <Result extends Lookups>(result: Result): Result => {
    for (const name of result.unset) {
      if (HIDDEN_ARGS.has(name) || stage.args.some(arg => arg.key === name)) continue;
      const near = suggest(name, [...stage.env.keys()], { caseSensitive: true });
      report('UndefinedVar', `Usage of undefined variable '$${name}'${near ? ` (did you mean $${near}?)` : ''}`);
    }
    return result;
  };
  return {
    context,
    stage,
    command,
    report,
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
