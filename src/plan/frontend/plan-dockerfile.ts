/** The Dockerfile frontend: from the options of a client to one build graph and image config per platform. */
import type { Digest } from '../../wire/oci/digest.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { detectCheck } from '../dockerfile/directive.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { type CheckOptions, CheckOptionsError, parseCheckOptions } from '../dockerfile/lint/check-options.ts';
import { createLinter, type Linter, type LintWarning, lintErrorMessage } from '../dockerfile/lint/linter.ts';
import { lintContinuations, lintObserver, lintStages } from '../dockerfile/lint/parse-rules.ts';
import { asksForSurprises, lintSurprises } from '../dockerfile/lint/surprise-rules.ts';
import type { OutlineJson } from '../dockerfile/outline.ts';
import { parseFile } from '../dockerfile/parse-file.ts';
import { parseStages } from '../dockerfile/parse-stages.ts';
import { listTargets, type TargetJson } from '../dockerfile/targets.ts';
import { loadDefinition } from '../llb/load.ts';
import type { SourceMap } from '../llb/vertex.ts';
import { type BuildContext, loadBuildContext } from './build-context.ts';
import { chooseFrontend, type FrontendChoice } from './frontend-choice.ts';
import type { FrontendHost } from './host.ts';
import { FrontendOptionError, parseFrontendOptions } from './options.ts';
import { marshalTarget, type ParsedBuild, type PlatformPlan, planPlatform, planTarget } from './plan-platform.ts';
import { withResolveCache } from './resolve-cache.ts';
import { lookUpScanner } from './sbom.ts';
import { outlineOf } from './stage-outline.ts';

export type { PlatformPlan } from './plan-platform.ts';

const CHECK_ARGUMENT = 'BUILDKIT_DOCKERFILE_CHECK';

/** The file that is planned, and the graph that loaded it. */
export interface LoadedDockerfile extends SourceMap {
  readonly definition: Definition;
  /** The step that loaded it: warnings belong to it. */
  readonly vertex: Digest;
  /** What it says about the frontend that is to plan it. */
  readonly frontend: FrontendChoice;
}

/** What a Dockerfile comes to. */
export interface DockerfilePlan {
  /** In the order in which they were asked for. */
  readonly platforms: readonly PlatformPlan[];
  /** Whether the result is keyed by platform. */
  readonly isMultiPlatform: boolean;
  readonly dockerfile: LoadedDockerfile;
  /** What build checks found, once for all platforms. */
  readonly warnings: readonly LintWarning[];
}

/**
 * Reads and plans a Dockerfile. Options are those that BuildKit's Dockerfile frontend takes.
 *
 * Throws DockerfileError for what is wrong with the file, ForeignFrontendError when it is for another frontend,
 * FrontendOptionError for the options, BuildContextError when the file or the context cannot be read, and what the host
 * rejects with.
 *
 * @param onWarning - is told of each warning when it is found, also of those before an error
 */
export async function planDockerfile(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
  onWarning?: (warning: LintWarning, dockerfile: LoadedDockerfile) => void,
): Promise<DockerfilePlan> {
  return withFile(host, rawOptions, signal, async loaded => {
    const { checks, linter, warnings } = openChecks(loaded, onWarning);
    const build = parseBuild(loaded, checks, linter);
    const { targetPlatforms, multiPlatform } = build.options;
    const targets = targetPlatforms.length === 0 ? [undefined] : targetPlatforms;
    const scanner = await lookUpScanner(build.host, build.options, build.signal);
    const platforms = await Promise.all(
      targets.map((target, i) => planPlatform(build, target, i === 0 ? linter : silent, scanner)),
    );
    failOnWarnings(checks, warnings);
    return { platforms, isMultiPlatform: multiPlatform, dockerfile: loaded.dockerfile, warnings };
  });
}

/** What a check of a Dockerfile found. */
export interface DockerfileCheck {
  readonly dockerfile: LoadedDockerfile;
  readonly warnings: readonly LintWarning[];
  /** What ended the check before its end. */
  readonly error: Error | undefined;
}

/**
 * Looks a Dockerfile over without building it: all stages, unless a target is given. Throws what {@link planDockerfile}
 * throws while it reads the file.
 */
export async function checkDockerfile(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<DockerfileCheck> {
  return withFile(host, rawOptions, signal, async loaded => {
    let warnings: readonly LintWarning[] = [];
    let found: Error | undefined;
    try {
      const opened = openChecks(loaded);
      warnings = opened.warnings;
      const build = parseBuild(loaded, opened.checks, opened.linter);
      const scope = build.options.target === '' ? 'all stages' : 'what the target needs';
      await planTarget(build, undefined, opened.linter, scope);
      failOnWarnings(opened.checks, warnings);
    } catch (error) {
      signal.throwIfAborted();
      found = error instanceof Error ? error : new Error(String(error));
    }
    return { dockerfile: loaded.dockerfile, warnings, error: found };
  });
}

/** The target of a Dockerfile, planned for the build platform, whatever platforms are asked for. */
export interface PlannedTarget {
  readonly dockerfile: LoadedDockerfile;
  readonly warnings: readonly LintWarning[];
  readonly outline: OutlineJson;
  /** Writes the graph. */
  definition(): Definition;
}

/** Plans the target without building it. Throws what {@link planDockerfile} throws. */
export async function planTargetOnly(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<PlannedTarget> {
  return withFile(host, rawOptions, signal, async loaded => {
    const { checks, linter, warnings } = openChecks(loaded);
    const build = parseBuild(loaded, checks, linter);
    const { context, target } = await planTarget(build, undefined, linter, 'what the target needs');
    failOnWarnings(checks, warnings);
    return {
      dockerfile: loaded.dockerfile,
      warnings,
      outline: outlineOf(target),
      definition: () => marshalTarget(context, target).definition,
    };
  });
}

/** Lists the targets of a Dockerfile, which needs its text only. Throws what {@link planDockerfile} throws while it reads it. */
export async function listDockerfileTargets(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<{ readonly dockerfile: LoadedDockerfile; readonly targets: readonly TargetJson[] }> {
  return withFile(host, rawOptions, signal, async ({ dockerfile }) => {
    const { stages } = parseStages(parseFile(dockerfile.data));
    return { dockerfile, targets: listTargets(stages) };
  });
}

interface LoadedFile {
  readonly host: FrontendHost;
  readonly options: ParsedBuild['options'];
  readonly source: BuildContext;
  readonly dockerfile: LoadedDockerfile;
  /** Of the build argument, which replace those of the file. */
  readonly checksGiven: CheckOptions | undefined;
  readonly signal: AbortSignal;
}

/** Reads the file and has `work` done with it; what is still under way when that fails is stopped. */
async function withFile<Result>(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
  work: (file: LoadedFile) => Promise<Result>,
): Promise<Result> {
  const abort = new AbortController();
  const linked = AbortSignal.any([signal, abort.signal]);
  try {
    const options = parseFrontendOptions(rawOptions);
    const given = options.buildArgs.get(CHECK_ARGUMENT);
    const checksGiven = given === undefined ? undefined : readChecks(given, `build-arg:${CHECK_ARGUMENT}`);
    const source = await loadBuildContext(host, options, linked);
    const { data, definition } = source.dockerfile;
    const frontend = chooseFrontend(data, rawOptions);
    const dockerfile = { ...source.dockerfile, vertex: loadDefinition(definition).head.vertex.digest, frontend };
    const cached = withResolveCache(host, linked);
    return await work({ host: cached, options, source, dockerfile, checksGiven, signal: linked });
  } catch (error) {
    abort.abort();
    throw error;
  }
}

/** The checks as the file or the build argument sets them. @throws FrontendOptionError */
function openChecks(
  { dockerfile, checksGiven }: LoadedFile,
  onWarning: (warning: LintWarning, dockerfile: LoadedDockerfile) => void = () => undefined,
): {
  readonly checks: CheckOptions;
  readonly linter: Linter;
  readonly warnings: readonly LintWarning[];
} {
  const warnings: LintWarning[] = [];
  const written = () => detectCheck(new TextDecoder().decode(dockerfile.data))?.value ?? '';
  const checks = checksGiven ?? readChecks(written(), 'check options');
  const linter = createLinter(checks, warning => {
    warnings.push(warning);
    onWarning(warning, dockerfile);
  });
  return { checks, linter, warnings };
}

function readChecks(text: string, origin: string): CheckOptions {
  try {
    return parseCheckOptions(text);
  } catch (cause) {
    if (!(cause instanceof CheckOptionsError)) throw cause;
    throw new FrontendOptionError(`failed to parse ${origin}: ${cause.message}`, { cause });
  }
}

function parseBuild(
  { host, options, source, dockerfile, signal }: LoadedFile,
  checks: CheckOptions,
  linter: Linter,
): ParsedBuild {
  const parsed = parseFile(source.dockerfile.data);
  lintContinuations(linter, parsed);
  const file = parseStages(parsed, lintObserver(linter));
  lintStages(linter, file.stages);
  if (asksForSurprises(checks, parsed)) lintSurprises(linter, file.stages);
  return { host, options, source, file, escapeChar: parsed.escape, labs: dockerfile.frontend.labs, signal };
}

const silent: Linter = { report: () => undefined, withComments: () => silent };

/** With `error=true` a warning is an error. */
function failOnWarnings({ error }: CheckOptions, warnings: readonly LintWarning[]): void {
  if (error && warnings.length > 0) throw new DockerfileError(lintErrorMessage(warnings), []);
}
