import { cleanPath } from '../../../wire/fsutil/go-path.ts';
import type { PatternMatcher } from '../../../wire/fsutil/patterns.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import { formatPlatformAll, normalizePlatform, PlatformError, parsePlatform } from '../../../wire/oci/platform.ts';
import type { ExpandedWord } from '../expand.ts';
import type {
  CmdInstruction,
  EntrypointInstruction,
  EnvInstruction,
  HealthCheckInstruction,
  LabelInstruction,
  Stage,
} from '../instruction.ts';
import { SCAN_ARGS } from '../sbom-args.ts';
import { isSecretName } from '../secret-name.ts';
import type { LineRange } from '../source.ts';
import { suggest } from '../suggest.ts';
import type { Linter } from './linter.ts';

// What these rules look at is known when a build is planned. Each takes the linter of the instruction, with its comments.

/** Names that a FROM looks up and nothing declares. `known` are the predefined and the global arguments. */
export function lintFromArgs(
  linter: Linter,
  lines: LineRange,
  unset: Iterable<string>,
  known: readonly string[],
): void {
  for (const name of unset) {
    if (known.includes(name)) continue;
    const nearest = suggest(name, known, { caseSensitive: true });
    const hint = nearest ? ` (did you mean ${nearest}?)` : '';
    linter.report('UndefinedArgInFrom', `FROM argument '${name}' is not declared${hint}`, lines);
  }
}

/** A `--platform` that says what is the default, or always the same. `targetPlatform` is the value of TARGETPLATFORM. */
export function lintPlatformFlag(
  linter: Linter,
  stage: Pick<Stage, 'name' | 'platform' | 'lines'>,
  { text, used, unset }: ExpandedWord,
  targetPlatform: string | undefined,
): void {
  if (used.size === 1 && unset.size === 0 && used.has('TARGETPLATFORM') && text === (targetPlatform ?? '')) {
    const message = `Setting platform to predefined ${stage.platform} in FROM is redundant as this is the default behavior`;
    linter.report('RedundantTargetPlatform', message, stage.lines);
  }
  if (used.size > 0 || unset.size > 0) return;
  const platform = tryParsePlatform(text);
  if (platform === undefined) return;
  if (stage.name.includes(platform.os) || stage.name.includes(platform.architecture)) return;
  const message = `FROM --platform flag should not use constant value "${text}"`;
  linter.report('FromPlatformFlagConstDisallowed', message, stage.lines);
}

function tryParsePlatform(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch (error) {
    if (error instanceof PlatformError) return undefined;
    throw error;
  }
}

/** A base image of another platform than the stage is for. `name` is the base as written. */
export function lintBasePlatform(
  linter: Linter,
  stage: { readonly name: string; readonly lines: LineRange | undefined },
  expected: Platform,
  actual: Platform,
): void {
  if (expected.os === actual.os && expected.architecture === actual.architecture) return;
  const [wanted, found] = [expected, actual].map(platform => formatPlatformAll(normalizePlatform(platform)));
  const message = `Base image ${stage.name} was pulled with platform "${found}", expected "${wanted}" for current build`;
  linter.report('InvalidBaseImagePlatform', message, stage.lines);
}

/**
 * Names that one word of an instruction looks up and nothing sets. `declared` are the names of the stage's ARGs, `names`
 * those that are set, in the order of their last assignment.
 */
export function lintVariables(
  linter: Linter,
  lines: LineRange,
  unset: Iterable<string>,
  scope: { readonly declared: ReadonlySet<string>; readonly names: Iterable<string> },
): void {
  for (const name of unset) {
    if (scope.declared.has(name) || SCAN_ARGS.has(name)) continue;
    const nearest = suggest(name, [...scope.names], { caseSensitive: true });
    const hint = nearest ? ` (did you mean $${nearest}?)` : '';
    linter.report('UndefinedVar', `Usage of undefined variable '$${name}'${hint}`, lines);
  }
}

/** Pairs written as `KEY value`. */
export function lintLegacyPairs(linter: Linter, { keyword, pairs, lines }: EnvInstruction | LabelInstruction): void {
  if (!pairs.some(({ legacy }) => legacy)) return;
  const message = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`;
  linter.report('LegacyKeyValueFormat', message, lines);
}

/** A name that says that its value is secret. */
export function lintSecretName(linter: Linter, keyword: 'ARG' | 'ENV', name: string, lines: LineRange): void {
  if (!isSecretName(name)) return;
  const message = `Do not use ARG or ENV instructions for sensitive data (${keyword} "${name}")`;
  linter.report('SecretsUsedInArgOrEnv', message, lines);
}

/** The first WORKDIR of a chain of stages, expanded, that is relative. */
export function lintRelativeWorkdir(linter: Linter, path: string, lines: LineRange): void {
  const message = `Relative workdir "${path}" can have unexpected results if the base image changes`;
  linter.report('WorkdirRelativePath', message, lines);
}

/** A command in the shell form where no SHELL was set. */
export function lintShellForm(
  linter: Linter,
  { keyword, shellForm, lines }: CmdInstruction | EntrypointInstruction,
): void {
  if (!shellForm) return;
  const message = `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`;
  linter.report('JSONArgsRecommended', message, lines);
}

/** An instruction that replaces an earlier one of its stage, at `previous`. */
export function lintUsedOnce(
  linter: Linter,
  { keyword }: CmdInstruction | EntrypointInstruction | HealthCheckInstruction,
  previous: LineRange | undefined,
): void {
  if (previous === undefined) return;
  const message = `Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`;
  linter.report('MultipleInstructionsDisallowed', message, previous);
}

/**
 * A source of COPY or ADD in the build context, expanded, that the ignore patterns exclude. `ignored` is undefined without
 * an ignore file. Throws PatternSyntaxError.
 */
export function lintIgnoredSource(
  linter: Linter,
  { kind, lines }: { readonly kind: 'ADD' | 'COPY'; readonly lines: LineRange },
  source: string,
  ignored: PatternMatcher | undefined,
): void {
  // Whether an exception brings something of a directory back cannot be told here.
  if (ignored === undefined || ignored.hasExceptions) return;
  const path = cleanPath(source);
  const isRoot = path === '.' || path === '/';
  if (isRoot && !ignored.patterns.some(({ text }) => text === '*' || text === '**' || text === '**/*')) return;
  if (!ignored.matches(path)) return;
  const verb = kind === 'ADD' ? 'Add' : 'Copy';
  const message = `Attempting to ${verb} file "${path}" that is excluded by .dockerignore`;
  linter.report('CopyIgnoredFile', message, lines);
}

/** A port of EXPOSE, expanded. `protocol` is as written, `hasHost` says whether an address or a host port is given. */
export function lintExposedPort(
  linter: Linter,
  port: { readonly text: string; readonly protocol: string; readonly hasHost: boolean },
  lines: LineRange,
): void {
  if (port.protocol !== port.protocol.toLowerCase()) {
    const message = `Defined protocol '${port.text}' in EXPOSE instruction should be lowercase`;
    linter.report('ExposeProtoCasing', message, lines);
  }
  if (port.hasHost) {
    const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${port.text}'`;
    linter.report('ExposeInvalidFormat', message, lines);
  }
}
