/**
 * The Dockerfile language: parsing, word expansion, ignore files. Pure functions of texts, no input or output.
 *
 * `parseFile` splits a file into instructions and words, `parseStages` gives them their meaning; both throw
 * DockerfileError, which `renderError` shows with the lines around it.
 */

export type { PathFilter } from '../../wire/fsutil/path-filter.ts';
export { createPathFilter } from '../../wire/fsutil/path-filter.ts';
export { PatternSyntaxError } from '../../wire/fsutil/path-match.ts';
export type { PatternMatcher } from '../../wire/fsutil/patterns.ts';
export { compilePatterns } from '../../wire/fsutil/patterns.ts';
export type { SyntaxReference } from './directive.ts';
export { detectSyntax } from './directive.ts';
export { DockerfileError } from './error.ts';
export type { ExpandedWord, ExpandedWords, ExpandOptions, Lookups, Variables } from './expand.ts';
export { ExpansionError, expandForDisplay, expandHeredoc, expandWord, expandWords } from './expand.ts';
export { IgnoreFileError, readIgnoreFile } from './ignore-file.ts';
export type * from './instruction.ts';
export { CheckOptionsError } from './lint/check-options.ts';
export { renderWarnings } from './lint/check-result.ts';
export { lintFile } from './lint/lint-file.ts';
export type { LintWarning } from './lint/linter.ts';
export type { LintRule, RuleName } from './lint/rule.ts';
export type { LocationJson } from './location-json.ts';
export type { CacheSharing, Mount, MountType } from './mount.ts';
export { readMounts } from './mount.ts';
export type * from './node.ts';
export { parseFile } from './parse-file.ts';
export { parseStages, parseTrigger } from './parse-stages.ts';
export type { LineRange, SourcePosition, SourceSegment } from './source.ts';
export { positionAt } from './source.ts';
export { renderError, renderErrorSource, renderSourceBlock } from './source-block.ts';
export type { TargetJson } from './targets.ts';
export { listTargets, renderTargets } from './targets.ts';
export type { Token, TokenKind } from './tokens.ts';
export { listTokens } from './tokens.ts';
