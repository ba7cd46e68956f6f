import { ImageReferenceError, parseReference } from '../../../wire/oci/reference.ts';
import { ExpansionError, expandWord, type Variables } from '../expand.ts';
import type { Stage } from '../instruction.ts';
import type { InstructionNode, ParsedFile } from '../node.ts';
import type { ParseObserver } from '../parse-stages.ts';
import type { LineRange } from '../source.ts';
import type { Linter } from './linter.ts';

/** The rules on what continuations hold. */
export function lintContinuations(linter: Linter, file: ParsedFile): void {
  for (const { line } of file.warnings) {
    linter.report('NoEmptyContinuation', 'Empty continuation line', { start: line, end: line });
  }
}

/** The rules on single instructions, for parseStages to run, so that what stands before an error is still reported. */
export function lintObserver(linter: Linter): ParseObserver {
  return {
    node: node => lintNode(linter.withComments(node.comments), node),
    stage: ({ name, node }) => {
      if (name !== '') lintDescription(linter, node, 'FROM', [name]);
    },
    instruction: instruction => {
      if (instruction.kind !== 'ARG') return;
      const keys = instruction.args.map(({ key }) => key);
      lintDescription(linter, instruction.node, 'ARG', keys);
    },
  };
}

function lintNode(linter: Linter, { keyword, args, lines }: InstructionNode): void {
  const kind = keyword.toLowerCase();
  if (kind === 'maintainer') {
    const message = 'Maintainer instruction is deprecated in favor of using label';
    linter.report('MaintainerDeprecated', message, lines);
  }
  if (kind !== 'from') return;
  const [, as, name] = args;
  if (args.length === 3 && name !== undefined && name !== name.toLowerCase()) {
    linter.report('StageNameCasing', `Stage name '${name}' should be lowercase`, lines);
  }
  if (as === undefined || args.length < 3) return;
  const matches = keyword === kind ? isLower(as) : keyword !== keyword.toUpperCase() || isUpper(as);
  if (!matches) linter.report('FromAsCasing', `'${as}' and '${keyword}' keywords' casing do not match`, lines);
}

function lintDescription(linter: Linter, node: InstructionNode, keyword: string, names: readonly string[]): void {
  const [word] = (node.comments.at(-1) ?? '').split(' ');
  if (!word || names.includes(word)) return;
  const name = names.length === 1 ? names[0] : '<arg_key>';
  const message = `Comment for ${keyword} should follow the format: \`# ${name} <description>\``;
  linter.withComments(node.comments).report('InvalidDefinitionDescription', message, node.lines);
}

/** The rules on all stages together. */
export function lintStages(linter: Linter, stages: readonly Stage[]): void {
  lintStageNames(linter, stages);
  lintCasing(linter, stages);
}

function lintStageNames(linter: Linter, stages: readonly Stage[]): void {
  const names = new Set<string>();
  for (const { name, lines } of stages) {
    if (name === '') continue;
    if (name === 'scratch' || name === 'context') {
      const message = `Stage name should not use the same name as reserved stage "${name}"`;
      linter.report('ReservedStageName', message, lines);
    }
    if (names.has(name)) {
      linter.report('DuplicateStageName', `Duplicate stage name "${name}", stage names should be unique`, lines);
    }
    names.add(name);
  }
}

function lintCasing(linter: Linter, stages: readonly Stage[]): void {
  const keywords = stages.flatMap((stage): readonly { keyword: string; lines: LineRange }[] => [
    stage,
    ...stage.instructions,
  ]);
  const lower = keywords.filter(({ keyword }) => isLower(keyword)).length;
  const upper = keywords.filter(({ keyword }) => !isLower(keyword) && isUpper(keyword)).length;
  const [matches, casing] = lower > upper ? [isLower, 'lowercase'] : [isUpper, 'uppercase'];
  for (const { keyword, lines } of keywords) {
    if (matches(keyword)) continue;
    const message = `Command '${keyword}' should match the case of the command majority (${casing})`;
    linter.report('ConsistentInstructionCasing', message, lines);
  }
}

/**
 * The rule on bases that are no references when no build argument is given. `defaults` are the predefined arguments and the
 * defaults of those before the first FROM.
 */
export function lintDefaultBases(
  linter: Linter,
  stages: readonly Stage[],
  defaults: Variables,
  escapeChar: string,
): void {
  for (const { base, lines } of stages) {
    let expanded: string;
    try {
      expanded = expandWord(base, defaults, { escape: escapeChar }).text;
    } catch (error) {
      // The build fails at the same place.
      if (error instanceof ExpansionError) return;
      throw error;
    }
    if (isReference(expanded)) continue;
    const message = `Default value for ARG ${base} results in empty or invalid base image name`;
    linter.report('InvalidDefaultArgInFrom', message, lines);
  }
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch (error) {
    if (error instanceof ImageReferenceError) return false;
    throw error;
  }
}

function isLower(text: string): boolean {
  return text === text.toLowerCase();
}

function isUpper(text: string): boolean {
  return text === text.toUpperCase();
}
