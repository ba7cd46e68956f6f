import { rm, writeFile } from 'node:fs/promises';
import type { WarningEvent } from '../../engine/status/event.ts';
import { needsRootless, runRootless } from '../../host/runtime/rootless.ts';
import { createDisplay, PROGRESS_MODES, type ProgressMode } from '../../insight/progress/display.ts';
import { sourceExcerpt } from '../../insight/progress/excerpt.ts';
import { BuildError, type Builder } from '../builder/builder.ts';
import { openEmbeddedBuilder } from '../builder/embedded.ts';
import type { BuildRequest, BuildResult } from '../builder/request.ts';
import { type BuildFlags, buildRequest } from './build-request.ts';
import { parseCall, printCall, shownDockerfile } from './call.ts';
import { didYouMean, UsageError } from './errors.ts';
import { checkGivenFiles } from './given-files.ts';
import { interruptSignal } from './interrupt.ts';
import { writeMetadataFile } from './metadata-file.ts';
import { surpriseWatch } from './surprise-watch.ts';

/**
 * Runs `outcrop build` to its end and shows it.
 * @returns the exit code: 0, 1 for a failed build, 3 for one that `--fail-on` fails, 130 for an interrupted one.
 * @throws UsageError for flags that cannot be obeyed.
 */
export async function runBuild(path: string, flags: BuildFlags): Promise<number> {
  const mode = progressMode(flags);
  const call = parseCall(flags.call);
  const parallelism = parallelismOf(flags.parallel);
  const isRemote = (flags.builder?.length ?? 0) > 0;
  // Started again in a user namespace, where an ordinary user may mount and map owners.
  if (!isRemote && needsRootless()) return runRootless();
  // Before anything asynchronous runs: threads that exist already would stay outside the engine's mount namespace.
  await using builder = isRemote
    ? await remoteBuilder(flags)
    : openEmbeddedBuilder({ endsWithProcess: true, ...(parallelism === undefined ? {} : { parallelism }) });
  const request = await buildRequest(path, flags);
  if (!call) {
    for (const warning of await checkGivenFiles(request, flags, process.env))
      process.stderr.write(`WARNING: ${warning}\n`);
    await dropImageID(request, flags.iidfile);
  }
  using interrupt = interruptSignal();
  const display = createDisplay(mode, process.stderr, process.env);
  const quiet = mode === 'quiet' || mode === 'rawjson' || mode === 'none';
  const watch = surpriseWatch(display.sink);
  const why = await whyOf(flags, () => !quiet && watch.isWorthALook());
  let answer: ReadonlyMap<string, string> | undefined;
  let result: BuildResult;
  try {
    answer = call && (await builder.call(request, call.request, display.sink, interrupt.signal));
    result = answer ? callResult(answer) : await builder.build(request, watch.sink, interrupt.signal);
  } catch (error) {
    display.finish();
    if (interrupt.signal.aborted) {
      process.stderr.write('ERROR: failed to build: failed to solve: Canceled: context canceled\n');
      return 130;
    }
    if (!(error instanceof BuildError)) throw error;
    if (!quiet) printWarnings(display.warnings(), flags.debug ?? false);
    printBuildError(error, flags.debug ?? false);
    await why();
    return 1;
  }
  display.finish();
  if (!quiet) printWarnings(display.warnings(), flags.debug ?? false);
  if (call && answer) {
    if (flags.metadataFile !== undefined) await writeMetadataFile(flags.metadataFile, result.response);
    return printCall(call, answer, shownDockerfile(path, flags.file));
  }
  const id = result.response['containerimage.config.digest'] ?? result.response['containerimage.digest'] ?? '';
  if (flags.iidfile !== undefined) await writeFile(flags.iidfile, id);
  if (flags.metadataFile !== undefined) await writeMetadataFile(flags.metadataFile, result.response);
  if (mode === 'quiet') process.stdout.write(`${id}\n`);
  return why();
}

/**
 * Removes the image id of an earlier build, so that one that fails leaves none behind.
 * @throws UsageError where there is no image that could have an id
 */
async function dropImageID({ outputs }: BuildRequest, file: string | undefined): Promise<void> {
  if (file === undefined) return;
  const files = outputs.find(({ type }) => type === 'local' || type === 'tar');
  if (files) throw new UsageError(`--iidfile: --output type=${files.type} makes no image that has an id`);
  await rm(file, { force: true });
}

/**
 * The builder that `--builder` names.
 * @throws UsageError for flags that only a build in this process obeys
 */
async function remoteBuilder(flags: BuildFlags): Promise<Builder> {
  const own = [
    ['--parallel', flags.parallel !== undefined],
    ['--cold-mounts', flags.coldMounts],
    ['--why', flags.why],
    ['--why-file', flags.whyFile !== undefined],
    ['--fail-on', flags.failOn?.length],
  ] as const;
  for (const [flag, isGiven] of own)
    if (isGiven) throw new UsageError(`${flag} is for builds in this process and cannot be used with --builder`);
  const [{ parseBuilderAddresses }, { openRemoteBuilder }] = await Promise.all([
    import('../remote/builder-address.ts'),
    import('../remote/remote-builder.ts'),
  ]);
  const addresses = parseBuilderAddresses(flags.builder ?? [], process.env);
  if (addresses.length === 0) throw new UsageError('--builder: expected the address of a BuildKit daemon');
  return openRemoteBuilder(addresses);
}

/**
 * What is said of the build when it has ended; gives the exit code of one that succeeded.
 * @throws UsageError for flags that mean nothing
 */
async function whyOf(flags: BuildFlags, isWorthALook: () => boolean): Promise<() => Promise<number>> {
  if (!flags.why && flags.whyFile === undefined && !flags.failOn?.length) {
    return async () => {
      if (isWorthALook()) (await import('./why-after-build.ts')).tellUnexpected();
      return 0;
    };
  }
  const { explainOwnBuild, whyRequest } = await import('./why-after-build.ts');
  const request = whyRequest(flags);
  return () => explainOwnBuild(request, process.env);
}

/** What `--metadata-file` tells of a request: its answer, the JSON of it as such. */
function callResult(answer: ReadonlyMap<string, string>): BuildResult {
  const json = answer.get('result.json');
  const packed = json === undefined ? {} : { 'result.json': Buffer.from(json).toString('base64') };
  return { response: { ...Object.fromEntries(answer), ...packed } };
}

/** What `--progress` and `--quiet` ask for. @throws UsageError */
export function progressMode(flags: Pick<BuildFlags, 'progress' | 'quiet'>): ProgressMode {
  const mode = PROGRESS_MODES.find(candidate => candidate === flags.progress);
  if (!mode)
    throw new UsageError(
      `--progress ${flags.progress}: invalid progress mode${didYouMean(flags.progress, PROGRESS_MODES)}; one of ${PROGRESS_MODES.join(', ')}`,
    );
  if (!flags.quiet) return mode;
  if (mode !== 'auto' && mode !== 'quiet') throw new UsageError(`progress=${mode} and quiet cannot be used together`);
  return 'quiet';
}

/** What `--parallel` asks for. @throws UsageError */
export function parallelismOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new UsageError(`--parallel ${text}: expected a number of steps, 1 or more`);
  return count;
}

function printWarnings(warnings: readonly WarningEvent[], debug: boolean): void {
  if (warnings.length === 0) return;
  const title = `${warnings.length === 1 ? '1 warning' : `${warnings.length} warnings`} found`;
  const colour = process.stderr.isTTY && !process.env['NO_COLOR'];
  const heading = ` ${title}${debug ? '' : ' (use outcrop build --debug to expand)'}:`;
  let text = `\n${colour ? `\x1b[33m${heading}\x1b[0m` : heading}\n`;
  for (const warning of warnings) {
    text += ` - ${Buffer.from(warning.short)}\n`;
    if (!debug) continue;
    for (const detail of warning.detail) text += `${Buffer.from(detail)}\n`;
    if (warning.url) text += `More info: ${warning.url}\n`;
    if (warning.sourceInfo) text += sourceExcerpt(warning.sourceInfo, warning.ranges ?? []);
    text += '\n';
  }
  process.stderr.write(text);
}

/** Shows where a build failed, and why. */
export function printBuildError(error: BuildError, debug: boolean): void {
  let text = '';
  for (const { info, ranges } of error.sources) text += sourceExcerpt(info, ranges);
  text += `ERROR: failed to build: failed to solve: ${error.message}\n`;
  for (const hint of error.hints) text += `       ${hint}\n`;
  if (debug)
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      text += `${cause.stack ?? cause.message}\n`;
  process.stderr.write(text);
}
