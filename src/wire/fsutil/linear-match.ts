/** Matching of simple regular expressions in time proportional to the text, whatever the expression (Thompson, 1968). */

/** A part of an expression. */
export type ExpressionNode =
  | { readonly kind: 'one'; readonly test: (char: string) => boolean }
  | { readonly kind: 'start' | 'end' | 'boundary' | 'noBoundary' }
  | { readonly kind: 'sequence' | 'either'; readonly nodes: readonly ExpressionNode[] }
  | { readonly kind: 'many' | 'optional'; readonly node: ExpressionNode };

type Assertion = 'start' | 'end' | 'boundary' | 'noBoundary';
type Instruction =
  | { readonly kind: 'one'; readonly test: (char: string) => boolean }
  | { readonly kind: 'assert'; readonly what: Assertion }
  /** Goes on at both places, numbers of instructions. */
  | { readonly kind: 'split'; readonly to: number[] };

/** Tells whether a text as a whole matches the expression; a text is taken by code points. */
export function compileLinearMatch(expression: ExpressionNode): (text: string) => boolean {
  const program: Instruction[] = [];
  emit(expression, program);
  return text => run(program, Array.from(text));
}

function emit(node: ExpressionNode, program: Instruction[]): void {
  switch (node.kind) {
    case 'one':
      program.push(node);
      return;
    case 'sequence':
      for (const one of node.nodes) emit(one, program);
      return;
    case 'either': {
      const starts: number[] = [];
      const ends: number[][] = [];
      program.push({ kind: 'split', to: starts });
      for (const one of node.nodes) {
        starts.push(program.length);
        emit(one, program);
        const end: number[] = [];
        ends.push(end);
        program.push({ kind: 'split', to: end });
      }
      for (const end of ends) end.push(program.length);
      return;
    }
    case 'many':
    case 'optional': {
      const start = program.length;
      const to = [start + 1];
      program.push({ kind: 'split', to });
      emit(node.node, program);
      if (node.kind === 'many') program.push({ kind: 'split', to: [start] });
      to.push(program.length);
      return;
    }
    default:
      program.push({ kind: 'assert', what: node.kind });
  }
}

function run(program: readonly Instruction[], chars: readonly string[]): boolean {
  const accepting = program.length;
  /** For each instruction the place at which it was last reached, so that it is followed once a place. */
  const reached = new Int32Array(accepting + 1).fill(-1);
  let current = follow([0], 0);
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] ?? '';
    const next: number[] = [];
    for (const index of current) {
      const instruction = program[index];
      if (instruction?.kind === 'one' && instruction.test(char)) next.push(index + 1);
    }
    if (next.length === 0) return false;
    current = follow(next, at + 1);
  }
  return current.includes(accepting);

  /** The instructions that take a character, and the end, as far as they are reached from `from` without taking one. */
  function follow(from: number[], at: number): number[] {
    const found: number[] = [];
    const pending = from;
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (reached[index] === at) continue;
      reached[index] = at;
      const instruction = program[index];
      if (instruction?.kind === 'split') pending.push(...instruction.to);
      else if (instruction?.kind !== 'assert') found.push(index);
      else if (holds(instruction.what, at)) pending.push(index + 1);
    }
    return found;
  }

  function holds(what: Assertion, at: number): boolean {
    if (what === 'start') return at === 0;
    if (what === 'end') return at === chars.length;
    const isBoundary = isWord(chars[at - 1]) !== isWord(chars[at]);
    return isBoundary === (what === 'boundary');
  }
}

function isWord(char: string | undefined): boolean {
  return char !== undefined && /^\w$/.test(char);
}
