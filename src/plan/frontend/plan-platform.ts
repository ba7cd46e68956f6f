import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { formatPlatformAll, normalizePlatform } from '../../wire/oci/platform.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import type { StagedFile } from '../dockerfile/instruction.ts';
import type { Linter } from '../dockerfile/lint/linter.ts';
import { lintDefaultBases } from '../dockerfile/lint/parse-rules.ts';
import type { LineRange } from '../dockerfile/source.ts';
import { marshalGraph } from '../llb/definition.ts';
import { MarshalError } from '../llb/marshal.ts';
import type { BuildContext } from './build-context.ts';
import { resolveEpoch } from './epoch.ts';
import { globalArgs, predefinedArgs, proxyFrom } from './global-args.ts';
import type { FrontendHost } from './host.ts';
import { formatImage, type ImageDraft, normalizeImagePlatform } from './image-draft.ts';
import type { FrontendOptions } from './options.ts';
import type { PlanContext } from './plan-context.ts';
import { planStages } from './plan-stages.ts';
import { resolveBases } from './resolve-bases.ts';
import { type SbomScanner, scanDefinition, scanTargets } from './sbom.ts';
import type { StageState } from './stage.ts';
import { buildStageGraph } from './stage-graph.ts';

/** What the plans for all platforms begin with. */
export interface ParsedBuild {
  readonly host: FrontendHost;
  readonly options: FrontendOptions;
  readonly source: BuildContext;
  readonly file: StagedFile;
  readonly escapeChar: string;
  /** Whether features that may still change are allowed. */
  readonly labs: boolean;
  readonly signal: AbortSignal;
}

/** The result for one platform. */
export interface PlatformPlan {
  /** `linux/arm64`: how results are keyed. */
  readonly id: string;
  readonly platform: Platform;
  readonly definition: Definition;
  /** JSON; diffIDs and times are those of the base still. */
  readonly imageConfig: string;
  /** The config of the base image as it was looked up; nothing for scratch. */
  readonly baseImageConfig: string | undefined;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number | undefined;
  /** The directory with the statements of the scanner that the client asks for. */
  readonly sbom?: Definition;
  readonly steps: readonly PlannedStep[];
}

/** A vertex that an instruction became. A linked copy is two: the copy and what merges it. */
interface PlannedStep {
  /** The name of the stage, or `stage-<i>`; empty for an only stage. */
  readonly stage: string;
  readonly lines: LineRange;
  /** The instruction as written, continuation lines joined. */
  readonly text: string;
  readonly digest: Digest;
}

/** Plans a file for a platform, or for the build platform if nobody asked for one. Throws DockerfileError. */
export async function planPlatform(
  build: ParsedBuild,
  wanted: Platform | undefined,
  linter: Linter,
  scanner: SbomScanner | undefined,
): Promise<PlatformPlan> {
  const { context, target } = await planTarget(build, wanted, linter, 'what the target needs');
  const { buildPlatform } = context;
  finishImage(context, target.image);
  const { definition, digests } = marshalTarget(context, target);
  const id = formatPlatformAll(normalizePlatform(wanted ?? buildPlatform));
  return {
    id,
    platform: exportPlatform(wanted ?? buildPlatform, target.image),
    definition,
    imageConfig: formatImage(target.image),
    baseImageConfig: target.baseImage === undefined ? undefined : formatImage(target.baseImage),
    sourceDateEpoch: context.epoch,
    ...(scanner === undefined ? {} : { sbom: planScan(context, target, scanner, id) }),
    steps: context.steps.flatMap(({ stage, instruction: { lines, source }, vertex }) => {
      const digest = digests.get(vertex);
      return digest === undefined ? [] : [{ stage: stage.shownName, lines, text: source, digest }];
    }),
  };
}

function planScan(context: PlanContext, target: StageState, scanner: SbomScanner, id: string): Definition {
  const { ignoreCache, ...targets } = scanTargets(context, target);
  const { host, buildPlatform } = context;
  return scanDefinition(
    scanner,
    targets,
    { name: id, ignoreCache },
    { platform: buildPlatform, supports: capability => host.supports(capability) },
  );
}

/** Writes the graph of a planned stage. @throws MarshalError */
export function marshalTarget(
  { host, targetPlatform }: PlanContext,
  target: StageState,
): ReturnType<typeof marshalGraph> {
  try {
    return marshalGraph(target.edge, {
      platform: targetPlatform,
      supports: capability => host.supports(capability),
    });
  } catch (cause) {
    if (!(cause instanceof MarshalError)) throw cause;
    throw new MarshalError(`failed to marshal LLB definition: ${cause.message}`, { cause });
  }
}

/** Plans the instructions, and writes no graph yet. Throws DockerfileError. */
export async function planTarget(
  build: ParsedBuild,
  wanted: Platform | undefined,
  linter: Linter,
  scope: 'what the target needs' | 'all stages',
): Promise<{ readonly context: PlanContext; readonly target: StageState }> {
  if (build.file.stages.length === 0) throw new DockerfileError('dockerfile contains no stages to build', []);
  const context = await makeContext(build, wanted, linter, scope === 'all stages');
  const target = buildStageGraph(context);
  const needed = await resolveBases(context, target);
  await planStages(context, needed, target);
  return { context, target };
}

async function makeContext(
  build: ParsedBuild,
  wanted: Platform | undefined,
  linter: Linter,
  allStages: boolean,
): Promise<PlanContext> {
  const { host, options, file, escapeChar } = build;
  const [buildPlatform] = host.buildPlatforms;
  const targetPlatform = wanted ?? buildPlatform;
  const buildArgs = new Map(options.buildArgs);
  const targetStage = options.target || file.stages.at(-1)?.name || '';
  const predefined = predefinedArgs(buildPlatform, targetPlatform, targetStage, buildArgs);
  lintDefaults(build, predefined, linter);
  const { args, notes } = globalArgs(predefined, file.metaArgs, buildArgs, escapeChar);
  const declared = file.metaArgs.flatMap(instruction => instruction.args.map(({ key }) => key));
  const epoch = await resolveEpoch({ ...build, buildArgs, globalArgs: args });
  return {
    ...build,
    buildPlatform,
    targetPlatform,
    isTargetImplicit: wanted === undefined,
    buildArgs,
    globalArgs: args,
    globalNotes: notes,
    knownArgs: [...new Set([...declared, ...args.keys()])],
    epoch,
    proxy: proxyFrom(buildArgs),
    stages: { all: [], byName: new Map() },
    linter,
    allStages,
    contextEdge: undefined,
    ignoreMatcher: undefined,
    steps: [],
  };
}

function lintDefaults(
  { file, escapeChar }: ParsedBuild,
  predefined: ReadonlyMap<string, string>,
  linter: Linter,
): void {
  let defaults: ReadonlyMap<string, string>;
  try {
    defaults = globalArgs(predefined, file.metaArgs, new Map(), escapeChar).args;
  } catch (error) {
    // Most likely the build fails with the same error.
    if (error instanceof DockerfileError) return;
    throw error;
  }
  lintDefaultBases(linter, file.stages, defaults, escapeChar);
}

/** What the whole build says about the image: labels of the client, and the platform that was asked for. */
function finishImage({ options, targetPlatform, isTargetImplicit }: PlanContext, image: ImageDraft): void {
  if (options.labels.size > 0) image.config.labels = new Map([...(image.config.labels ?? []), ...options.labels]);
  if (!isTargetImplicit) {
    const { os, architecture, variant } = targetPlatform;
    const same = os === image.os && architecture === image.architecture;
    image.os = os;
    image.architecture = architecture;
    if (variant !== undefined || !same) image.variant = variant ?? '';
    const version = targetPlatform['os.version'];
    if (version !== undefined || !same) image.osVersion = version ?? '';
    image.osFeatures = targetPlatform['os.features'] ?? image.osFeatures;
  }
  normalizeImagePlatform(image);
}

/** The platform that the result is said to be for: on windows with the version of the base image. */
function exportPlatform(wanted: Platform, image: ImageDraft): Platform {
  const platform = normalizePlatform(wanted);
  if (platform.os !== 'windows' || image.os !== 'windows') return platform;
  const version = platform['os.version'] ?? image.osVersion;
  const features = platform['os.features'] ?? image.osFeatures;
  return normalizePlatform({
    ...platform,
    ...(version === '' ? {} : { 'os.version': version }),
    ...(features === undefined ? {} : { 'os.features': features }),
  });
}
