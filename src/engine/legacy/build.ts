/** The legacy builder: instructions in order, an image for each, and a cache that is those images. */

import { expandWord } from '../../plan/dockerfile/expand.ts';
import type { Stage } from '../../plan/dockerfile/instruction.ts';
import { type BuildArgs, createBuildArgs } from './build-args.ts';
import { cacheProbe } from './cache-probe.ts';
import { LegacyBuildError, messageOf } from './error.ts';
import type { LegacyImage } from './image.ts';
import { openImageTable } from './image-table.ts';
import { type NamedImages, namedImages } from './images.ts';
import { planLabel } from './plan-step.ts';
import { type LegacyFile, readLegacyFile, stagesUpTo } from './read-file.ts';
import type { LegacyBuildRequest, LegacyBuildResult, LegacyEngine, LegacyWriter } from './request.ts';
import { type StageBuilder, stageBuilder } from './stage-builder.ts';
import { parseTags, tagImage } from './tag-image.ts';

/**
 * Runs a build as docker did before BuildKit, and says what docker said.
 * @param write Takes what a client shows on its standard output.
 * @throws LegacyBuildError, and the reason of `signal` when it was aborted: nothing runs any more then
 */
export async function runLegacyBuild(
  engine: LegacyEngine,
  request: LegacyBuildRequest,
  write: LegacyWriter,
  signal: AbortSignal,
): Promise<LegacyBuildResult> {
  try {
    return await build(engine, request, write, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof LegacyBuildError) throw cause;
    if (cause instanceof SuppressedError && cause.suppressed instanceof LegacyBuildError) throw cause.suppressed;
    throw new LegacyBuildError(messageOf(cause), { cause });
  }
}

async function build(
  engine: LegacyEngine,
  request: LegacyBuildRequest,
  write: LegacyWriter,
  signal: AbortSignal,
): Promise<LegacyBuildResult> {
  const tags = parseTags(request.tags);
  const file = readLegacyFile(request.dockerfile, request.dockerfileName);
  const stages = stagesUpTo(file.stages, request.target);
  const table = openImageTable(engine.database);
  table.forget(layer => engine.layers.has(layer));
  const named = namedImages({ ...engine, table, write });
  const probe = cacheProbe({
    table,
    isReachable: layer => engine.layers.isReachable(layer),
    isOff: request.noCache,
    sources: request.cacheFrom && (await cacheSources(request.cacheFrom, named, signal)),
  });
  const args = createBuildArgs(request.buildArgs);
  const steps = stepCounter(file, stages, request, write);
  declareGlobals(file, args, steps);
  const builders: StageBuilder[] = [];
  for (const stage of stages) {
    signal.throwIfAborted();
    if (stage.name !== '' && builders.some(({ name }) => name === stage.name)) {
      throw new LegacyBuildError(`${stage.name} stage name already used`);
    }
    const builder = stageBuilder(stage.name, {
      engine,
      request,
      table,
      probe,
      named,
      write,
      args: args.openStage(),
      escapeChar: file.escapeChar,
      earlier: [...builders],
    });
    builders.push(builder);
    await runStage(stage, builder, { args, steps, isLast: builders.length === stages.length }, file, request, signal);
  }
  const unused = args.unused();
  const image = builders.at(-1)?.image();
  if (image === undefined) throw new LegacyBuildError('No image was generated. Is your Dockerfile empty?');
  if (unused.length > 0) write(`[Warning] One or more build-args [${unused.join(' ')}] were not consumed\n`);
  write(`Successfully built ${shortID(image)}\n`);
  for (const tag of await tagImage(image, tags, engine, signal)) write(`Successfully tagged ${tag}\n`);
  return { imageID: image.id };
}

interface StepCounter {
  /** Prints the head of the next step. */
  next(text: string): void;
}

function stepCounter(
  file: LegacyFile,
  stages: readonly Stage[],
  request: LegacyBuildRequest,
  write: LegacyWriter,
): StepCounter {
  const own = stages.reduce((sum, { instructions }) => sum + 1 + instructions.length, 0);
  const total = file.globals.length + own + request.labels.size;
  let number = 0;
  return { next: text => write(`Step ${++number}/${total} : ${text}\n`) };
}

function declareGlobals({ globals, escapeChar }: LegacyFile, args: BuildArgs, steps: StepCounter): void {
  for (const { source, args: definitions } of globals) {
    steps.next(source);
    const scope = args.globals();
    const word = (text: string) => expandWord(text, scope, { escape: escapeChar }).text;
    for (const { key, value } of definitions) {
      args.declareGlobal(word(key), value === undefined ? undefined : word(value));
    }
  }
}

async function runStage(
  stage: Stage,
  builder: StageBuilder,
  { args, steps, isLast }: { readonly args: BuildArgs; readonly steps: StepCounter; readonly isLast: boolean },
  { escapeChar }: LegacyFile,
  request: LegacyBuildRequest,
  signal: AbortSignal,
): Promise<void> {
  const scope = args.globals();
  const word = (text: string) => expandWord(text, scope, { escape: escapeChar }).text;
  steps.next(stage.source);
  await builder.begin(word(stage.base), stage.base, word(stage.platform), signal);
  for (const instruction of stage.instructions) {
    signal.throwIfAborted();
    steps.next(instruction.source);
    await builder.run(instruction, signal);
  }
  if (!isLast) return;
  for (const [key, value] of [...request.labels].sort(([a], [b]) => (a < b ? -1 : 1))) {
    steps.next(`LABEL ${key}=${value}`);
    await builder.runPlanned(state => planLabel(key, value, state), signal);
  }
}

/** Those of the images that are here; the others are no cache. */
async function cacheSources(
  names: readonly string[],
  named: NamedImages,
  signal: AbortSignal,
): Promise<readonly LegacyImage[]> {
  const sources: LegacyImage[] = [];
  for (const name of names) {
    const image = await named.local(name, signal);
    if (image !== undefined) sources.push(image);
  }
  return sources;
}

function shortID({ id }: LegacyImage): string {
  return id.slice('sha256:'.length, 'sha256:'.length + 12);
}
