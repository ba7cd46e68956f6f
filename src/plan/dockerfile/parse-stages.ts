import { DockerfileError } from './error.ts';
import type { ArgInstruction, Instruction, Stage, StagedFile } from './instruction.ts';
import type { InstructionNode, ParsedFile } from './node.ts';
import { parseFile } from './parse-file.ts';
import { isStageStart, parseInstruction, type StageStart } from './parse-instruction.ts';
import type { LineRange } from './source.ts';

/** Sees the parts of a file while they are parsed, in order, up to the first error. */
export interface ParseObserver {
  /** Before the node is parsed. */
  node?(node: InstructionNode): void;
  instruction?(instruction: Instruction): void;
  stage?(stage: StageStart): void;
}

/**
 * Gives the instructions of a file their meaning and sorts them into stages. There may be no stage at all.
 *
 * Throws DockerfileError for the first instruction that is unknown or malformed, and for one other than ARG before the
 * first FROM.
 */
export function parseStages(file: ParsedFile, observer: ParseObserver = {}): StagedFile {
  const metaArgs: ArgInstruction[] = [];
  const stages: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const node of file.nodes) {
    observer.node?.(node);
    const parsed = parseLocated(node);
    if (isStageStart(parsed)) observer.stage?.(parsed);
    else observer.instruction?.(parsed);
    const stage = stages.at(-1);
    if (isStageStart(parsed)) stages.push({ ...parsed, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(parsed);
    else if (parsed.kind === 'ARG') metaArgs.push(parsed);
    else throw new DockerfileError('no build stage in current context', [node.lines], { word: node.keyword });
  }
  return { metaArgs, stages };
}

function parseLocated(node: InstructionNode) {
  try {
    return parseInstruction(node);
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error;
    const message = `dockerfile parse error on line ${node.lines.start}: ${error.message}`;
    throw new DockerfileError(message, [node.lines], { cause: error, word: error.word });
  }
}

/**
 * Parses a text that a base image or stage left for ONBUILD. `lines` are those of the FROM that runs it: they become the
 * lines of the instruction. The text is a file of its own, with a backslash as escape character.
 *
 * Throws DockerfileError, at `lines`.
 */
export function parseTrigger(expression: string, lines: LineRange): Instruction {
  try {
    const { nodes } = parseFile(expression);
    const [node] = nodes;
    if (node === undefined || nodes.length > 1) {
      throw new DockerfileError('onbuild trigger should be a single expression', []);
    }
    const parsed = parseInstruction({ ...node, lines });
    if (isStageStart(parsed)) throw new DockerfileError('*instructions.Stage is not a command type', []);
    return parsed;
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error;
    throw new DockerfileError(error.message, [lines], { cause: error });
  }
}
