/** Runs the instructions of one stage, each to an image. */
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { posix } from 'node:path';
import type { Instruction } from '../../plan/dockerfile/instruction.ts';
import type { ActiveLayer } from '../../store/snapshot/layer-mounts.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import { parsePlatform } from '../../wire/oci/platform.ts';
import { makeDirectories } from '../ops/file/make-directories.ts';
import { withImagePaths } from '../ops/file/path-error.ts';
import { rootPath } from '../ops/file/root-path.ts';
import { snapshotRef } from '../ops/ref.ts';
import { contentsOf } from '../ops/ref-contents.ts';
import { accountNames } from './account-names.ts';
import type { StageArgs } from './build-args.ts';
import type { CacheProbe } from './cache-probe.ts';
import { commitStep } from './commit.ts';
import { blankConfig, type ContainerConfig, stageConfig } from './container-config.ts';
import { chownOwner, copyFilesInto } from './copy-files.ts';
import { type FoundSource, findSources, type SourceFiles, sourcesHash } from './copy-sources.ts';
import { downloadSource, isUrl } from './download.ts';
import { LegacyBuildError, messageOf } from './error.ts';
import { legacyRecords, withCapabilitiesOnly } from './file-hash.ts';
import { type LegacyImage, readContent } from './image.ts';
import type { ImageTable } from './image-table.ts';
import type { NamedImages } from './images.ts';
import { type FilesStep, type LegacyStep, planStep, type StageState } from './plan-step.ts';
import { readTrigger } from './read-file.ts';
import type { LegacyBuildRequest, LegacyEngine, LegacyWriter } from './request.ts';
import { removeMountTraces, runContainer } from './run-container.ts';

/** A stage while it is built. */
export interface StageBuilder {
  readonly name: string;
  /** The last image; undefined for `scratch` without a step. */
  image(): LegacyImage | undefined;
  /**
   * Begins on a base: an earlier stage, an image, or nothing; runs what the base left to do.
   * @param written The name of the base before variables were replaced.
   */
  begin(base: string, written: string, platform: string, signal: AbortSignal): Promise<void>;
  /** Runs an instruction. @throws LegacyBuildError and other errors of the build */
  run(instruction: Instruction, signal: AbortSignal): Promise<void>;
  /** Runs a step that no instruction stands for. */
  runPlanned(plan: (state: StageState) => LegacyStep, signal: AbortSignal): Promise<void>;
}

export interface StageBuilderOptions {
  readonly engine: LegacyEngine;
  readonly request: LegacyBuildRequest;
  readonly table: ImageTable;
  readonly probe: CacheProbe;
  readonly named: NamedImages;
  readonly write: LegacyWriter;
  readonly args: StageArgs;
  readonly escapeChar: string;
  /** The stages before this one. */
  readonly earlier: readonly StageBuilder[];
}

const SCRATCH = 'scratch';

export function stageBuilder(name: string, options: StageBuilderOptions): StageBuilder {
  const { engine, request, table, probe, named, write, args, escapeChar, earlier } = options;
  const { layers } = engine;
  let image: LegacyImage | undefined;
  let state: StageState = { config: stageConfig(blankConfig), maintainer: '', hasCmd: false };

  const below = () => image?.layers ?? [];
  const showImage = () => write(` ---> ${image === undefined ? '' : shortID(image.id)}\n`);

  /** Moves on to the image of a step if there is one. */
  function useCache(wanted: ContainerConfig, next: StageState): boolean {
    const found = probe.probe(image, wanted, next.config);
    if (found === undefined) return false;
    write(' ---> Using cache\n');
    image = found;
    state = next;
    return true;
  }

  async function commit(
    wanted: ContainerConfig,
    next: StageState,
    container: string,
    layer: ActiveLayer | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    image = await commitStep({ parent: image, wanted, state: next, container, layer }, engine, table, signal);
    state = next;
  }

  /** Runs work in a container of its own, which is shown. */
  async function inContainer(work: (id: string) => Promise<void>): Promise<void> {
    const id = randomBytes(32).toString('hex');
    write(` ---> Running in ${shortID(id)}\n`);
    const remove = () => write(`Removing intermediate container ${shortID(id)}\n`);
    try {
      await work(id);
    } catch (error) {
      if (request.forceRm) remove();
      throw error;
    }
    if (request.rm) remove();
  }

  async function perform(step: LegacyStep, signal: AbortSignal): Promise<void> {
    switch (step.kind) {
      case 'metadata':
        if (step.note !== undefined) write(`${step.note}\n`);
        if (useCache(step.wanted, step.state)) return;
        await inContainer(id => commit(step.wanted, step.state, id, undefined, signal));
        return;
      case 'workdir':
        if (useCache(step.wanted, step.state)) return;
        await inContainer(async id => {
          await using active = await layers.prepare(below(), signal);
          const root = toBytePath(await active.mount(signal));
          const path = posix.normalize(step.state.config.workingDir);
          const made = await withImagePaths(root, () =>
            makeDirectories(rootPath(root, toBytePath(path)), { mode: 0o755 }),
          );
          await commit(step.wanted, step.state, id, made.length === 0 ? undefined : active, signal);
        });
        return;
      case 'run':
        if (useCache(step.wanted, step.state)) return;
        await inContainer(async id => {
          await using active = await layers.prepare(below(), signal);
          const rootfs = await active.mount(signal);
          const { command, env } = step;
          const container = { id, rootfs, layers: below(), command, env, config: step.state.config };
          await runContainer({ ...container, settings: request.run, write }, engine.runtime, layers, signal);
          await removeMountTraces(active.upper, below(), step.state.config.volumes, layers, signal);
          const unchanged = readdirSync(active.upper).length === 0;
          await commit(step.wanted, step.state, id, unchanged ? undefined : active, signal);
        });
        return;
      case 'files':
        await performCopy(step, signal);
    }
  }

  async function performCopy(step: FilesStep, signal: AbortSignal): Promise<void> {
    await using cleanup = new AsyncDisposableStack();
    const sources = await findAll(step, cleanup, signal);
    const { keyword, destination } = step;
    if (sources.length > 1 && !destination.endsWith('/')) {
      throw new LegacyBuildError(
        `When using ${keyword} with more than one source file, the destination must be a directory and end with a /`,
      );
    }
    const wanted = step.wanted(sourcesHash(sources));
    if (useCache(wanted, step.state)) return;
    const active = cleanup.use(await layers.prepare(below(), signal));
    const root = await active.mount(signal);
    const { workingDir } = step.state.config;
    const keepsOwners = step.from !== '' && step.chown === '';
    const owner = step.chown === '' ? { uid: 0, gid: 0 } : chownOwner(step.chown, root);
    await copyFilesInto(
      { sources, destination, workingDir, unpacks: keyword === 'ADD', owner: keepsOwners ? undefined : owner, root },
      signal,
    );
    const unchanged = readdirSync(active.upper).length === 0;
    await commit(wanted, step.state, '', unchanged ? undefined : active, signal);
  }

  async function findAll(step: FilesStep, cleanup: AsyncDisposableStack, signal: AbortSignal): Promise<FoundSource[]> {
    const { keyword, destination } = step;
    const files = step.from === '' ? request.context.files : await filesOf(step.from, signal);
    try {
      const found: FoundSource[] = [];
      for (const source of step.sources) {
        if (!isUrl(source)) {
          found.push(...(await findSources(files, source, signal)));
          continue;
        }
        if (keyword === 'COPY') throw new LegacyBuildError("source can't be a URL for COPY");
        const { upper } = cleanup.use(await layers.prepare([], signal));
        found.push(await downloadSource(source, destination, upper, signal));
        write('\n');
      }
      if (found.length === 0) throw new LegacyBuildError('no source files were specified');
      return found;
    } catch (cause) {
      signal.throwIfAborted();
      throw new LegacyBuildError(`${keyword} failed: ${messageOf(cause)}`, { cause });
    }
  }

  /** The files of a stage or an image that COPY names. */
  async function filesOf(from: string, signal: AbortSignal): Promise<SourceFiles> {
    let source: LegacyImage | undefined;
    try {
      const stage = stageNamed(from);
      source = stage === undefined ? await named.find(from, request.platform, false, signal) : stage.image();
    } catch (cause) {
      signal.throwIfAborted();
      throw new LegacyBuildError(`invalid from flag value ${from}: ${messageOf(cause)}`, { cause });
    }
    const contents = await contentsOf(snapshotRef(source?.layers ?? []), layers, signal);
    const tree = withCapabilitiesOnly(contents.tree);
    const records = legacyRecords(tree, accountNames());
    // Layers never change, so what is copied need not be compared.
    return { tree, records, copy: { tree, records: { ...records, known: () => undefined } }, isContext: false };
  }

  function stageNamed(from: string): StageBuilder | undefined {
    if (!/^\d+$/.test(from)) return earlier.find(stage => stage.name === from.toLowerCase());
    const index = Number(from);
    if (index === earlier.length) throw new LegacyBuildError('refers to current build stage');
    if (index > earlier.length) throw new LegacyBuildError('index out of bounds');
    return earlier[index];
  }

  async function baseImage(base: string, platform: string, signal: AbortSignal): Promise<LegacyImage | undefined> {
    const stage = earlier.find(candidate => candidate.name !== '' && candidate.name === base.toLowerCase());
    if (stage !== undefined) return stage.image();
    if (base === SCRATCH) return undefined;
    const wanted = platform === '' ? request.platform : parsePlatform(platform);
    return named.find(base, wanted, request.pull, signal);
  }

  async function runTriggers(triggers: readonly string[], signal: AbortSignal): Promise<void> {
    if (triggers.length === 0) return;
    write(`# Executing ${triggers.length} build trigger${triggers.length === 1 ? '' : 's'}\n`);
    for (const trigger of triggers) await perform(planStep(readTrigger(trigger), state, args, escapeChar), signal);
  }

  return {
    name,
    image: () => image,
    async begin(base, written, platform, signal) {
      probe.reset();
      if (base === '') throw new LegacyBuildError(`base name (${written}) should not be blank`);
      image = await baseImage(base, platform, signal);
      const config = stageConfig(image === undefined ? blankConfig : readContent(image).config);
      state = { config: { ...config, onBuild: [] }, maintainer: '', hasCmd: false };
      await runTriggers(config.onBuild, signal);
      showImage();
    },
    async run(instruction, signal) {
      await perform(planStep(instruction, state, args, escapeChar), signal);
      showImage();
    },
    async runPlanned(plan, signal) {
      await perform(plan(state), signal);
      showImage();
    },
  };
}

/** The first twelve digits of an id. */
function shortID(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
