/** Reads a Dockerfile as the legacy builder does: no here-documents, and only the flags of its time. */
import { DockerfileError } from '../../plan/dockerfile/error.ts';
import type { ArgInstruction, Instruction, Stage } from '../../plan/dockerfile/instruction.ts';
import type { InstructionNode, ParsedFile } from '../../plan/dockerfile/node.ts';
import { parseFile } from '../../plan/dockerfile/parse-file.ts';
import { isStageStart, parseInstruction, type StageStart } from '../../plan/dockerfile/parse-instruction.ts';
import { KEYWORDS } from '../../plan/dockerfile/parse-node.ts';
import { LegacyBuildError } from './error.ts';

/** The stages of a file and the ARG instructions before the first of them. */
export interface LegacyFile {
  readonly escapeChar: string;
  readonly globals: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
}

/** The flags of each instruction; those that are not here are unknown. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  add: ['chown', 'chmod'],
  copy: ['chown', 'chmod', 'from'],
  from: ['platform'],
  healthcheck: ['interval', 'timeout', 'start-period', 'retries'],
  run: ['mount'],
};

/** Instructions whose flags nobody looks at. */
const UNCHECKED: ReadonlySet<string> = new Set(['arg', 'stopsignal']);

/**
 * Reads a whole file before anything runs.
 * @param name What the file is called in messages.
 * @throws LegacyBuildError, a refusal
 */
export function readLegacyFile(source: Uint8Array, name: string): LegacyFile {
  if (source.length === 0) throw refusal(`the Dockerfile (${name}) cannot be empty`);
  const file = parse(source, name);
  const globals: ArgInstruction[] = [];
  const stages: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const node of file.nodes) {
    const parsed = located(node, () => readNode(node));
    const stage = stages.at(-1);
    if (isStageStart(parsed)) stages.push({ ...parsed, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(parsed);
    else if (parsed.kind === 'ARG') globals.push(parsed);
    else located(node, () => fail('No build stage in current context'));
  }
  return { escapeChar: file.escape, globals, stages };
}

/**
 * Reads an instruction that an image left for the stages on it. @throws LegacyBuildError
 */
export function readTrigger(expression: string): Instruction {
  const [node] = parse(Buffer.from(expression), 'ONBUILD').nodes;
  const parsed = node && located(node, () => readNode(node));
  if (parsed === undefined || isStageStart(parsed)) {
    throw new LegacyBuildError(`*instructions.Stage is not a command type`);
  }
  return parsed;
}

/** The stages up to the one that is asked for, which is the last of that name. @throws LegacyBuildError, a refusal */
export function stagesUpTo(stages: readonly Stage[], target: string | undefined): readonly Stage[] {
  if (target === undefined || target === '') return stages;
  const index = stages.findLastIndex(stage => stage.name === target.toLowerCase());
  if (index < 0) throw refusal(`failed to reach build target ${target} in Dockerfile`);
  return stages.slice(0, index + 1);
}

function parse(source: Uint8Array, name: string): ParsedFile {
  try {
    return parseFile(source, { heredocs: false });
  } catch (cause) {
    if (!(cause instanceof DockerfileError)) throw cause;
    throw refusal(`failed to parse ${name}: ${cause.message}`, cause);
  }
}

function readNode(node: InstructionNode): Instruction | StageStart {
  const keyword = node.keyword.toLowerCase();
  if (!KEYWORDS.includes(keyword)) fail(`unknown instruction: ${node.keyword.toUpperCase()}`);
  if (!UNCHECKED.has(keyword)) checkFlags(node.flags, FLAGS[keyword] ?? []);
  const parsed = parseInstruction(node);
  if (isStageStart(parsed) || (parsed.kind !== 'ADD' && parsed.kind !== 'COPY')) return parsed;
  // What looks like a here-document is a path.
  return { ...parsed, sources: node.args.slice(0, -1), contents: [] };
}

function checkFlags(words: readonly string[], known: readonly string[]): void {
  const seen = new Set<string>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const flag = word.slice(2, equals < 0 ? undefined : equals);
    if (!known.includes(flag)) fail(`Unknown flag: ${flag}`);
    if (seen.has(flag) && flag !== 'mount') fail(`Duplicate flag specified: ${flag}`);
    if (equals < 0) fail(`Missing a value on flag: ${flag}`);
    seen.add(flag);
  }
}

function fail(message: string): never {
  throw new DockerfileError(message, []);
}

function located<T>(node: InstructionNode, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof DockerfileError)) throw cause;
    throw refusal(`dockerfile parse error line ${node.lines.start}: ${cause.message}`, cause);
  }
}

function refusal(message: string, cause?: unknown): LegacyBuildError {
  return new LegacyBuildError(message, { isRefusal: true, cause });
}
