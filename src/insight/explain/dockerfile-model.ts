/** A Dockerfile as far as explanations need it: its instructions as texts, and which variables they set. */
import { DockerfileError } from '../../plan/dockerfile/error.ts';
import type { ArgInstruction, Instruction, Stage } from '../../plan/dockerfile/instruction.ts';
import type { InstructionNode } from '../../plan/dockerfile/node.ts';
import { parseFile } from '../../plan/dockerfile/parse-file.ts';
import { parseStages } from '../../plan/dockerfile/parse-stages.ts';

/** A variable that an instruction sets; `value` is not expanded, undefined for an ARG without default. */
interface Setting {
  readonly name: string;
  readonly value: string | undefined;
}

export interface ModelInstruction {
  /** In upper case. */
  readonly keyword: string;
  /** First line, counted from 1. */
  readonly line: number;
  /** As written, continuation lines joined, heredocs left out. */
  readonly text: string;
  /** The same with heredocs, the keyword in upper case: what has to be equal. Of FROM without the name of the stage. */
  readonly full: string;
  /** Variables that ARG and ENV set. */
  readonly settings: readonly Setting[];
}

export interface ModelStage {
  /** As steps name it: the name, `stage-<i>`, or nothing for an only stage. */
  readonly name: string;
  readonly from: ModelInstruction;
  /** The stage that this one is built on, if it is one of the file. */
  readonly parent: ModelStage | undefined;
  readonly instructions: readonly ModelInstruction[];
}

export interface DockerfileModel {
  /** ARG before the first FROM. */
  readonly metaArgs: readonly ModelInstruction[];
  readonly stages: readonly ModelStage[];
}

/** The model of a text; undefined when it is no Dockerfile. */
export function dockerfileModel(text: string): DockerfileModel | undefined {
  try {
    const { metaArgs, stages } = parseStages(parseFile(text));
    const models: ModelStage[] = [];
    for (const [index, stage] of stages.entries()) {
      models.push(modelStage(stage, index, stages.length, metaArgs, models));
    }
    return { metaArgs: metaArgs.map(modelInstruction), stages: models };
  } catch (error) {
    if (error instanceof DockerfileError) return undefined;
    throw error;
  }
}

function modelStage(
  stage: Stage,
  index: number,
  count: number,
  metaArgs: readonly ArgInstruction[],
  earlier: readonly ModelStage[],
): ModelStage {
  const base = expandDefaults(stage.base, metaArgs).toLowerCase();
  const { node, source, lines } = stage;
  return {
    name: count === 1 ? '' : stage.name === '' ? `stage-${index}` : stage.name,
    from: {
      keyword: 'FROM',
      line: lines.start,
      text: source,
      full: fullText(node, source).replace(/\s+AS\s+\S+\s*$/i, ''),
      settings: [],
    },
    parent: earlier.findLast(({ name }) => name.toLowerCase() === base),
    instructions: stage.instructions.map(modelInstruction),
  };
}

/** A base name with the defaults of the arguments before the first FROM: enough to tell that it names a stage. */
function expandDefaults(text: string, metaArgs: readonly ArgInstruction[]): string {
  const defaults = new Map(metaArgs.flatMap(({ args }) => args.map(({ key, value }) => [key, value ?? ''])));
  return text.replace(/\$(\w+)|\$\{(\w+)(?::?-([^}]*))?\}/g, (_, plain, braced, fallback) => {
    return defaults.get(plain ?? braced) ?? fallback ?? '';
  });
}

function modelInstruction(instruction: Instruction): ModelInstruction {
  const { kind, lines, source, node } = instruction;
  return {
    keyword: kind,
    line: lines.start,
    text: source,
    full: fullText(node, source),
    settings: settingsOf(instruction),
  };
}

function fullText({ heredocs }: InstructionNode, source: string): string {
  const text = source.replace(/^\w+/, keyword => keyword.toUpperCase());
  return [text, ...heredocs.map(({ content }) => content)].join('\n');
}

function settingsOf(instruction: Instruction): Setting[] {
  if (instruction.kind === 'ARG') return instruction.args.map(({ key, value }) => ({ name: key, value }));
  if (instruction.kind === 'ENV') return instruction.pairs.map(({ key, value }) => ({ name: key, value }));
  return [];
}

/** The names of the variables that a text mentions, in order. */
export function variablesIn(text: string): string[] {
  return [...new Set([...text.matchAll(/\$(?:\{#?!?)?([A-Za-z_]\w*)/g)].flatMap(([, name]) => name ?? []))];
}

/** The stage of an instruction. */
export function stageOf(model: DockerfileModel, instruction: ModelInstruction): ModelStage | undefined {
  return model.stages.find(({ from, instructions }) => from === instruction || instructions.includes(instruction));
}

/** What comes before an instruction in its stage and in the stages that it is built on, in order. */
export function scopeOf(model: DockerfileModel, instruction: ModelInstruction): ModelInstruction[] {
  const stage = stageOf(model, instruction);
  if (stage === undefined) return [];
  const own = stage.instructions.slice(0, Math.max(0, stage.instructions.indexOf(instruction)));
  const scope = [stage.from, ...own];
  for (let { parent } = stage; parent !== undefined; { parent } = parent) {
    scope.unshift(parent.from, ...parent.instructions);
  }
  return scope;
}
