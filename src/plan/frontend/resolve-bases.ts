import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatformAll, normalizePlatform } from '../../wire/oci/platform.ts';
import {
  formatReference,
  ImageReferenceError,
  parseReference,
  withDefaultTag,
  withDigest,
} from '../../wire/oci/reference.ts';
import { DockerfileError, withLocation } from '../dockerfile/error.ts';
import { goQuote } from '../dockerfile/go-text.ts';
import { lintBasePlatform } from '../dockerfile/lint/plan-rules.ts';
import { withSuggestion } from '../dockerfile/suggest.ts';
import { compareBytewise } from '../llb/order.ts';
import { imageSource } from '../llb/source.ts';
import { cloneImage, emptyImage, type ImageDraft, imagePlatform, parseImage, platformMembers } from './image-draft.ts';
import { findNamedContext, loadNamedContext } from './named-context.ts';
import type { PlanContext } from './plan-context.ts';
import { followPathsOf, locationOf, reachableFrom, type StageState } from './stage.ts';
import { addTriggers } from './stage-graph.ts';
import { nextStepName } from './step-name.ts';

const SCRATCH = 'scratch';
const COMMON_IMAGES = ['alpine', 'busybox', 'centos', 'debian', 'golang', 'ubuntu', 'fedora'].flatMap(name => [
  name,
  `${name}:latest`,
]);

/** Key of a description: the instruction that a step comes from. */
export const COMMAND_KEY = 'com.docker.dockerfile.v1.command';

/**
 * Looks up the base images of the stages that the target needs, all at once, and again when what they left for ONBUILD
 * needs more. Returns the needed stages. Throws DockerfileError.
 */
export async function resolveBases(context: PlanContext, target: StageState): Promise<Set<StageState>> {
  for (;;) {
    const reachable = reachableFrom(target);
    await resolveRound(context, stage => context.allStages || reachable.has(stage));
    let hasNewNeeds = false;
    for (const stage of context.stages.all.filter(one => reachable.has(one))) {
      if (addTriggers(context, stage)) hasNewNeeds = true;
    }
    if (!hasNewNeeds) return reachable;
  }
}

async function resolveRound(context: PlanContext, isNeeded: (stage: StageState) => boolean): Promise<void> {
  const work: Promise<void>[] = [];
  for (const stage of context.stages.all) {
    if (stage.parent !== undefined || stage.isPlanned || stage.isResolved) continue;
    const needed = isNeeded(stage);
    stage.isResolved = needed;
    if (stage.base === SCRATCH && stage.namedContext === undefined) {
      stage.image = emptyImage(context.targetPlatform);
      stage.platform = context.targetPlatform;
    } else {
      work.push(resolveBase(context, stage, needed));
    }
    if (stage.isImageOnly) stage.isPlanned = true;
  }
  await Promise.all(work);
}

async function resolveBase(context: PlanContext, stage: StageState, isNeeded: boolean): Promise<void> {
  try {
    await resolveBaseOf(context, stage, isNeeded);
  } catch (error) {
    context.signal.throwIfAborted();
    if (stage.lines === undefined) throw withoutLocation(error);
    throw withLocation(error, stage.lines);
  }
}

function withoutLocation(error: unknown): DockerfileError {
  if (error instanceof DockerfileError) return error;
  return new DockerfileError(error instanceof Error ? error.message : String(error), [], { cause: error });
}

async function resolveBaseOf(context: PlanContext, stage: StageState, isNeeded: boolean): Promise<void> {
  const written = stage.base;
  const reference = parseBase(written);
  const platform = stage.platform ?? context.targetPlatform;
  stage.base = formatReference(withDefaultTag(reference));
  if (!isNeeded) {
    setFrom(context, stage, platform);
    return;
  }
  if (stage.namedContext !== undefined) {
    await replaceStage(context, stage);
    return;
  }
  if (await replaceBase(context, stage, platform)) return;

  const { host, options, signal } = context;
  const prefix = options.multiPlatform ? `[${formatPlatformAll(platform)} internal]` : '[internal]';
  const resolved = await lookUp(context, written, () =>
    host.resolveImageConfig(
      {
        ref: stage.base,
        platform,
        resolveMode: options.resolveMode,
        logName: `${prefix} load metadata for ${stage.base}`,
      },
      signal,
    ),
  );
  const image = parseImage(resolved.config);
  stage.baseImage = cloneImage(image);
  image.created = undefined;
  stage.image = image;
  // A policy may have changed the reference.
  const kept = parseReference(resolved.ref);
  stage.base = formatReference(resolved.digest === undefined ? kept : withDigest(kept, resolved.digest));
  const found =
    stage.platform === undefined && context.isTargetImplicit ? detectPlatform(context, image, platform) : platform;
  if (hasLayers(image)) {
    setFrom(context, stage, found);
    lintBasePlatform(context.linter, { name: written, lines: stage.lines }, found, platformMembers(image));
  } else {
    stage.platform = found;
  }
}

function parseBase(base: string): ReturnType<typeof parseReference> {
  try {
    return parseReference(base);
  } catch (cause) {
    if (!(cause instanceof ImageReferenceError)) throw cause;
    throw new DockerfileError(`failed to parse stage name ${goQuote(base)}: ${cause.message}`, [], { cause });
  }
}

async function lookUp<Value>(context: PlanContext, base: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (cause) {
    const message = `${base}: ${cause instanceof Error ? cause.message : String(cause)}`;
    const names = context.stages.all.map(stage => stage.shownName).filter(Boolean);
    throw new DockerfileError(withSuggestion(message, base, [...names, ...COMMON_IMAGES]), [], { cause });
  }
}

/** Gives a stage the files of its base image, as a step. */
function setFrom(context: PlanContext, stage: StageState, platform: Platform): void {
  stage.platform = platform;
  stage.filesPlatform = normalizePlatform(platform);
  stage.edge = imageSource(stage.base, {
    platform,
    resolveMode: context.options.resolveMode,
    name: nextStepName(context.options, stage, `FROM ${stage.base}`, platform, new Map()),
    description: { [COMMAND_KEY]: stage.source },
    locations: [locationOf(context.source.dockerfile, stage.lines)],
  });
}

/** A stage whose name is that of a named context is that context; its instructions are not run. */
async function replaceStage(context: PlanContext, stage: StageState): Promise<void> {
  if (stage.namedContext === undefined) return;
  const loaded = await loadNamedContext(context.host, context.options, stage.namedContext, context.signal);
  stage.isPlanned = true;
  stage.edge = loaded.edge;
  stage.filesPlatform = loaded.platform;
  if (loaded.image === undefined) return;
  const { image } = loaded;
  image.created = undefined;
  stage.image = image;
  stage.env = new Map(image.config.env);
  stage.dir = image.config.workingDir || '/';
  stage.platform = imagePlatform(image) ?? stage.platform;
}

/** Takes a named context for the base of a stage, if there is one. */
async function replaceBase(context: PlanContext, stage: StageState, platform: Platform): Promise<boolean> {
  const { host, options, signal } = context;
  const followPaths = () => followPathsOf(stage.usedPaths, compareBytewise);
  const named = findNamedContext(host, options, stage.base, platform, followPaths);
  if (named === undefined) return false;
  const loaded = await loadNamedContext(host, options, named, signal);
  const image = loaded.image ?? emptyImage(platform);
  stage.baseImage = cloneImage(image);
  image.created = undefined;
  stage.image = image;
  stage.edge = loaded.edge;
  stage.platform = platform;
  stage.filesPlatform = normalizePlatform(platform);
  return true;
}

/** The platform of a worker that the image is for, when nobody asked for one. */
function detectPlatform(context: PlanContext, image: ImageDraft, wanted: Platform): Platform {
  const fits = ({ os, architecture }: Platform) => os === image.os && architecture === image.architecture;
  if (fits(wanted)) return wanted;
  return context.host.buildPlatforms.find(fits) ?? wanted;
}

function hasLayers(image: ImageDraft): boolean {
  const { diffIDs } = image.rootfs;
  return (diffIDs !== undefined && diffIDs.length > 0) || image.history.some(entry => !entry.empty_layer);
}
