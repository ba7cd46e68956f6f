/** The Dockerfile frontend: from the options of a client to one build graph and image config per platform. */
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { formatPlatformAll, normalizePlatform } from '../../wire/oci/platform.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import type { StagedFile } from '../dockerfile/instruction.ts';
import { parseFile } from '../dockerfile/parse-file.ts';
import { parseStages } from '../dockerfile/parse-stages.ts';
import type { LineRange } from '../dockerfile/source.ts';
import { marshalGraph } from '../llb/definition.ts';
import type { SourceMap } from '../llb/vertex.ts';
import { type BuildContext, loadBuildContext } from './build-context.ts';
import { resolveEpoch } from './epoch.ts';
import { globalArgs, predefinedArgs, proxyFrom } from './global-args.ts';
import type { FrontendHost } from './host.ts';
import { formatImage, type ImageDraft, normalizeImagePlatform } from './image-draft.ts';
import { type FrontendOptions, parseFrontendOptions } from './options.ts';
import type { PlanContext } from './plan-context.ts';
import type { PlanLint } from './plan-lint.ts';
import { planStages } from './plan-stages.ts';
import { resolveBases } from './resolve-bases.ts';
import { withResolveCache } from './resolve-cache.ts';
import { buildStageGraph } from './stage-graph.ts';

/** What a Dockerfile comes to. */
export interface DockerfilePlan {
  /** In the order in which they were asked for. */
  readonly platforms: readonly PlatformPlan[];
  /** Whether the result is keyed by platform. */
  readonly isMultiPlatform: boolean;
  /** The file that was planned, and the graph that loaded it. */
  readonly dockerfile: SourceMap & { readonly definition: Definition };
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
  readonly steps: readonly PlannedStep[];
}

/** A vertex that an instruction became. A linked copy is two: the copy and what merges it. */
export interface PlannedStep {
  /** The name of the stage, or `stage-<i>`; empty for an only stage. */
  readonly stage: string;
  readonly lines: LineRange;
  /** The instruction as written, continuation lines joined. */
  readonly text: string;
  readonly digest: Digest;
}

/**
 * Reads and plans a Dockerfile. Options are those that BuildKit's Dockerfile frontend takes.
 *
 * Throws DockerfileError for what is wrong with the file, FrontendOptionError for the options, BuildContextError when the
 * file or the context cannot be read, and what the host rejects with.
 */
export async function planDockerfile(
  host: FrontendHost,
  rawOptions: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<DockerfilePlan> {
  const options = parseFrontendOptions(rawOptions);
  // What is still under way when planning fails is not needed.
  const abort = new AbortController();
  const linked = AbortSignal.any([signal, abort.signal]);
  try {
    const source = await loadBuildContext(host, options, linked);
    const file = parseFile(source.dockerfile.data);
    const staged = parseStages(file);
    if (staged.stages.length === 0) throw new DockerfileError('dockerfile contains no stages to build', []);
    const cachedHost = withResolveCache(host, linked);
    const shared = { host: cachedHost, options, source, file: staged, escapeChar: file.escape, signal: linked };
    const targets = options.targetPlatforms.length === 0 ? [undefined] : options.targetPlatforms;
    const platforms = await Promise.all(targets.map(target => planPlatform(shared, target)));
    return { platforms, isMultiPlatform: options.multiPlatform, dockerfile: source.dockerfile };
  } catch (error) {
    abort.abort();
    throw error;
  }
}

interface Shared {
  readonly host: FrontendHost;
  readonly options: FrontendOptions;
  readonly source: BuildContext;
  readonly file: StagedFile;
  readonly escapeChar: string;
  readonly signal: AbortSignal;
}

async function planPlatform(shared: Shared, wanted: Platform | undefined): Promise<PlatformPlan> {
  const context = await makeContext(shared, wanted);
  const { host, targetPlatform } = context;
  const target = buildStageGraph(context);
  const needed = await resolveBases(context, target, false);
  await planStages(context, needed, target);
  finishImage(context, target.image);
  const { definition, digests } = marshalGraph(target.edge, {
    platform: targetPlatform,
    supports: capability => host.supports(capability),
  });
  const platform = exportPlatform(wanted ?? context.buildPlatform, target.image);
  return {
    id: formatPlatformAll(normalizePlatform(wanted ?? context.buildPlatform)),
    platform,
    definition,
    imageConfig: formatImage(target.image),
    baseImageConfig: target.baseImage === undefined ? undefined : formatImage(target.baseImage),
    sourceDateEpoch: context.epoch,
    steps: context.steps.flatMap(({ stage, instruction, vertex }) => {
      const digest = digests.get(vertex);
      return digest === undefined
        ? []
        : [{ stage: stage.shownName, lines: instruction.lines, text: instruction.source, digest }];
    }),
  };
}

async function makeContext(shared: Shared, wanted: Platform | undefined): Promise<PlanContext> {
  const { host, options, file, escapeChar } = shared;
  const [buildPlatform] = host.buildPlatforms;
  const targetPlatform = wanted ?? buildPlatform;
  const buildArgs = new Map(options.buildArgs);
  const targetStage = options.target || file.stages.at(-1)?.name || '';
  const predefined = predefinedArgs(buildPlatform, targetPlatform, targetStage, buildArgs);
  const args = globalArgs(predefined, file.metaArgs, buildArgs, escapeChar);
  const epoch = await resolveEpoch({ ...shared, buildArgs, globalArgs: args });
  return {
    ...shared,
    buildPlatform,
    targetPlatform,
    isTargetImplicit: wanted === undefined,
    buildArgs,
    globalArgs: args,
    epoch,
    proxy: proxyFrom(buildArgs),
    stages: { all: [], byName: new Map() },
    lint: silent,
    contextEdge: undefined,
    ignoreMatcher: undefined,
    ignoresEverything: false,
    steps: [],
  };
}

const silent: PlanLint = { report: () => undefined };

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
