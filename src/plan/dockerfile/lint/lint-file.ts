import { detectCheck } from '../directive.ts';
import type { StagedFile } from '../instruction.ts';
import type { ParsedFile } from '../node.ts';
import { parseStages } from '../parse-stages.ts';
import { parseCheckOptions } from './check-options.ts';
import { createLinter, type LintWarning } from './linter.ts';
import { lintContinuations, lintObserver, lintStages } from './parse-rules.ts';
import { asksForSurprises, lintSurprises } from './surprise-rules.ts';

/**
 * Parses a file and runs the rules that need no more than its text, as far as its `# check=` directive lets them. `source`
 * is the text that `file` was parsed from.
 *
 * Throws DockerfileError, and CheckOptionsError for a bad directive.
 */
export function lintFile(
  source: string,
  file: ParsedFile,
): { readonly staged: StagedFile; readonly warnings: LintWarning[] } {
  const warnings: LintWarning[] = [];
  const options = parseCheckOptions(detectCheck(source)?.value ?? '');
  const linter = createLinter(options, warning => warnings.push(warning));
  lintContinuations(linter, file);
  const staged = parseStages(file, lintObserver(linter));
  lintStages(linter, staged.stages);
  if (asksForSurprises(options, file)) lintSurprises(linter, staged.stages);
  return { staged, warnings };
}
