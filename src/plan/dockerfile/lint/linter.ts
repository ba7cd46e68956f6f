import type { LineRange } from '../source.ts';
import { type CheckOptions, withInlineOptions } from './check-options.ts';
import { type LintRule, lintRule, type RuleName, SURPRISES_GROUP } from './rule.ts';

/** What a rule found. */
export interface LintWarning {
  readonly rule: LintRule;
  /** What is wrong, with the names of the place. */
  readonly message: string;
  /** Undefined for an image that only a mount or a `--from` names. */
  readonly lines: LineRange | undefined;
}

/** Passes on what the rules find, as far as the options let them run. */
export interface Linter {
  /** Reports what a rule found, unless the options keep it from running. */
  report(rule: RuleName, message: string, lines: LineRange | undefined): void;
  /** The linter for an instruction with these comments, among which an inline `# check=` may stand. */
  withComments(comments: readonly string[]): Linter;
}

/** A linter with `options` that gives its warnings to `warn`, in the order in which they are found. */
export function createLinter(options: CheckOptions, warn: (warning: LintWarning) => void): Linter {
  return {
    report: (name, message, lines) => {
      const rule = lintRule(name);
      if (runs(rule, options)) warn({ rule, message, lines });
    },
    withComments: comments => createLinter(withInlineOptions(options, comments), warn),
  };
}

function runs({ name, experimental, own }: LintRule, options: CheckOptions): boolean {
  if (!experimental) return !options.skipAll && !options.skip.has(name);
  const group = own ? options.experimental.has(SURPRISES_GROUP) : options.experimentalAll;
  return group || options.experimental.has(name);
}

/** The text of a warning in a build: rule, message and first line. */
export function formatWarning({ rule, message, lines }: LintWarning): string {
  return `${rule.name}: ${message}${lines === undefined ? '' : ` (line ${lines.start})`}`;
}

/** The message of the error that warnings are with the option `error=true`. */
export function lintErrorMessage(warnings: readonly LintWarning[]): string {
  const names = new Set(warnings.map(({ rule }) => rule.name));
  return `lint violation found for rules: ${[...names].join(', ')}`;
}
