import type { LineRange, SourceSegment } from './source.ts';

/** A here-document of an ADD, COPY or RUN instruction. */
export interface Heredoc {
  /** The terminator, without quotes. */
  readonly name: string;
  /** The file descriptor written before `<<`, else 0. */
  readonly fileDescriptor: number;
  /** Whether variables in the content are expanded: no part of the name was quoted. */
  readonly expand: boolean;
  /** Whether leading tabs are dropped (`<<-`). */
  readonly chomp: boolean;
  /** The lines up to the terminator as they stand in the file, leading tabs included, each with its end. */
  readonly content: string;
}

/** An instruction split into words, before its words are given a meaning. */
export interface InstructionNode {
  /** The first word as written. Empty for a file that is one continuation of nothing. */
  readonly keyword: string;
  /** The logical line: continuations joined, comments and blank lines in between dropped, heredoc bodies not included. */
  readonly original: string;
  /** From the first line to the last one used, heredoc bodies included. */
  readonly lines: LineRange;
  /** Where the parts of `original` stand in the file. Empty for the trigger of an ONBUILD. */
  readonly segments: readonly SourceSegment[];
  /** The words before the arguments that begin with `--`, quotes removed. */
  readonly flags: readonly string[];
  /** The arguments. ENV and LABEL: triples of key, value and `=` (or the empty text for `KEY value`). ONBUILD: all words. */
  readonly args: readonly string[];
  /** Whether the arguments are a JSON array. */
  readonly json: boolean;
  readonly heredocs: readonly Heredoc[];
  /** The comment lines since the instruction before, without `#`, trimmed. */
  readonly comments: readonly string[];
  /** ONBUILD: the trigger. */
  readonly trigger?: InstructionNode;
}

/** A blank line inside a continuation, which the language frowns at but accepts. */
export interface ParseWarning {
  readonly short: string;
  readonly detail: string;
  readonly url: string;
  /** The last line of the instruction. */
  readonly line: number;
}

/** What the lexical level makes of a file. */
export interface ParsedFile {
  /** The escape character in force, backslash or backtick. */
  readonly escape: string;
  readonly directives: readonly Directive[];
  readonly nodes: readonly InstructionNode[];
  readonly warnings: readonly ParseWarning[];
}

/** A parser directive, `# name=value` at the top of the file. */
export interface Directive {
  readonly name: 'syntax' | 'escape' | 'check';
  readonly value: string;
  readonly line: number;
}
