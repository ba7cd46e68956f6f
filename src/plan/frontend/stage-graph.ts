import type { Platform } from '../../wire/oci/descriptor.ts';
import { PlatformError, parsePlatform } from '../../wire/oci/platform.ts';
import { DockerfileError, withLocation } from '../dockerfile/error.ts';
import { expandWord } from '../dockerfile/expand.ts';
import type { Instruction, Stage } from '../dockerfile/instruction.ts';
import type { Linter } from '../dockerfile/lint/linter.ts';
import { lintFromArgs, lintPlatformFlag } from '../dockerfile/lint/plan-rules.ts';
import { parseTrigger } from '../dockerfile/parse-stages.ts';
import { withSuggestion } from '../dockerfile/suggest.ts';
import { compareBytewise } from '../llb/order.ts';
import { findNamedContext } from './named-context.ts';
import { ignoresCache } from './options.ts';
import { addStage, expand, type PlanContext, type StageTable } from './plan-context.ts';
import { type Command, followPathsOf, newStage, type StageState } from './stage.ts';
import { cloneOutline, newOutline } from './stage-outline.ts';

const NO_VARIABLES = new Map<string, string>();
const SCRATCH = 'scratch';

/**
 * Makes the stages of the file and finds the one that is built; then every instruction knows the stages that it reads.
 * Throws DockerfileError.
 */
export function buildStageGraph(context: PlanContext): StageState {
  context.file.stages.forEach((stage, index) => {
    addFileStage(context, stage, index);
  });
  const target = findTarget(context);
  connectInstructions(context.stages);
  refuseCircles(context.stages.all);
  const [only, ...others] = context.stages.all;
  if (only !== undefined && others.length === 0) only.shownName = '';
  return target;
}

function addFileStage(context: PlanContext, stage: Stage, index: number): void {
  const { lines, name, instructions, source, doc } = stage;
  const linter = context.linter.withComments(stage.node.comments);
  const usedArgs = new Set<string>();
  const base = located(lines, () => expandBase(context, stage, linter, usedArgs));
  const state = newStage({ name, base, instructions, lines, source, doc, isImageOnly: false, shownName: name });
  state.outline = newOutline(context.globalNotes);
  state.platform = stage.platform === '' ? undefined : parseStagePlatform(context, stage, linter, usedArgs);
  if (name !== '') {
    state.namedContext = findNamedContext(
      context.host,
      context.options,
      name,
      // Without a platform of its own or one that was asked for, the context's image may be for any.
      state.platform ?? (context.isTargetImplicit ? undefined : context.targetPlatform),
      () => followPathsOf(state.usedPaths, compareBytewise),
    );
  }
  addStage(context.stages, state);
  if (state.namedContext !== undefined) {
    state.parent = undefined;
    return;
  }
  if (state.parent !== undefined) state.outline = cloneOutline(state.parent.outline);
  for (const key of usedArgs) state.outline.usedArgs.add(key);
  if (name === '') state.shownName = `stage-${index}`;
  const hasFrom = state.base !== SCRATCH && state.parent === undefined;
  state.stepTotal = (hasFrom ? 1 : 0) + instructions.filter(isStep).length;
  state.ignoreCache = ignoresCache(context.options, name);
}

function isStep({ kind }: Instruction): boolean {
  return kind === 'ADD' || kind === 'COPY' || kind === 'RUN' || kind === 'WORKDIR';
}

function expandBase(context: PlanContext, stage: Stage, linter: Linter, usedArgs: Set<string>): string {
  const { text, used, unset } = expand(context, stage.base, context.globalArgs);
  for (const key of used) usedArgs.add(key);
  lintFromArgs(linter, stage.lines, unset, context.knownArgs);
  if (text === '') throw new DockerfileError(`base name (${stage.base}) should not be blank`, []);
  return text;
}

function parseStagePlatform(context: PlanContext, stage: Stage, linter: Linter, usedArgs: Set<string>): Platform {
  const { globalArgs } = context;
  const { platform: written, lines } = stage;
  const word = located(lines, () => {
    try {
      return expand(context, written, globalArgs);
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new DockerfileError(`failed to process arguments for platform : ${message}`, [], { cause });
    }
  });
  const { text, used, unset } = word;
  for (const key of used) usedArgs.add(key);
  lintFromArgs(linter, lines, unset, context.knownArgs);
  lintPlatformFlag(linter, stage, word, globalArgs.get('TARGETPLATFORM'));
  const suggest = (message: string) => {
    for (const name of unset) {
      const suggested = withSuggestion(message, name, [...globalArgs.keys()]);
      if (suggested !== message) return suggested;
    }
    return message;
  };
  if (text === '') {
    throw new DockerfileError(suggest(`empty platform value from expression ${written}`), [lines]);
  }
  try {
    return parsePlatform(text);
  } catch (cause) {
    if (!(cause instanceof PlatformError)) throw cause;
    const message = suggest(`failed to parse platform ${written}: ${cause.message}`);
    throw new DockerfileError(message, [lines, lines], { cause });
  }
}

function findTarget({ options, stages }: PlanContext): StageState {
  const { target } = options;
  const found = target === '' ? stages.all.at(-1) : stages.byName.get(target.toLowerCase());
  if (found !== undefined) return found;
  const names = stages.all.map(stage => stage.shownName).filter(Boolean);
  throw new DockerfileError(withSuggestion(`target stage "${target}" could not be found`, target, names), []);
}

function connectInstructions(stages: StageTable): void {
  // Images that a `--from` names join the list at its end, while it is walked.
  for (const stage of stages.all) {
    stage.commands = stage.instructions.map(instruction => connect(stages, stage, instruction, false));
  }
}

/** The instruction with the stages that it reads, new ones added. Throws DockerfileError. */
function connect(stages: StageTable, stage: StageState, instruction: Instruction, isTrigger: boolean): Command {
  const sources = sourcesOf(stages, instruction);
  for (const source of sources) {
    stage.needs.set(source, instruction.lines);
    if (source.isImageOnly) addStage(stages, source);
  }
  return { instruction, sources, isTrigger };
}

function sourcesOf(stages: StageTable, instruction: Instruction): StageState[] {
  if (instruction.kind === 'RUN') {
    // A mount of the build context counts as one of scratch, which is as if an image of that name was read.
    return instruction.mounts.map(
      mount => stageNamed(stages, mount.from || SCRATCH) ?? imageOnly(mount.from || SCRATCH),
    );
  }
  if (instruction.kind !== 'COPY' || instruction.from === '') return [];
  const { from } = instruction;
  if (expandWord(from, NO_VARIABLES).text !== from) {
    throw new DockerfileError(
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      [],
    );
  }
  if (!/^[+-]?\d+$/.test(from)) return [stageNamed(stages, from) ?? imageOnly(from, instruction)];
  const stage = stages.all[Number(from)];
  if (stage === undefined) throw new DockerfileError(`invalid stage index ${Number(from)}`, []);
  return [stage];
}

function stageNamed(stages: StageTable, name: string): StageState | undefined {
  return stages.byName.get(name.toLowerCase());
}

function imageOnly(base: string, instruction?: Instruction): StageState {
  const lines = instruction?.lines;
  return newStage({ name: '', base, instructions: [], lines, source: '', doc: '', isImageOnly: true, shownName: '' });
}

/** Refuses stages that need themselves. A base is an earlier stage, so only `--from` can close a circle. */
function refuseCircles(stages: readonly StageState[]): void {
  const visited = new Set<StageState>();
  for (const start of stages) {
    if (visited.has(start)) continue;
    visited.add(start);
    const path = [{ stage: start, rest: start.needs.entries() }];
    const onPath = new Set([start]);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { value: next, done } = top.rest.next();
      if (done) {
        path.pop();
        onPath.delete(top.stage);
        continue;
      }
      const [needed, lines] = next;
      if (onPath.has(needed)) {
        const places = path.slice(1).map(({ stage }, i) => path[i]?.stage.needs.get(stage) ?? lines);
        throw new DockerfileError(`circular dependency detected on stage: ${start.shownName}`, [...places, lines]);
      }
      if (visited.has(needed)) continue;
      visited.add(needed);
      onPath.add(needed);
      path.push({ stage: needed, rest: needed.needs.entries() });
    }
  }
}

/**
 * Puts what base images and parent stages left for ONBUILD before the instructions of a stage. True when one of them reads
 * a stage or an image, which may not have been needed before. Throws DockerfileError, at FROM.
 */
export function addTriggers({ stages }: PlanContext, stage: StageState): boolean {
  // Nothing runs in an image that is only read. Its triggers may read that image again, and so on without end.
  if (stage.isImageOnly) return false;
  const triggers = [...stage.image.config.onBuild];
  if (stage.parent !== undefined && !stage.hasTriggers) {
    stage.hasTriggers = true;
    for (const { instruction } of stage.parent.commands) {
      if (instruction.kind === 'ONBUILD') triggers.push(instruction.expression);
    }
  }
  if (triggers.length === 0) return false;
  stage.image.config.onBuild = [];
  const lines = stage.lines ?? { start: 0, end: 0 };
  const commands = triggers.map(trigger => connect(stages, stage, parseTrigger(trigger, lines), true));
  stage.commands.unshift(...commands);
  stage.stepTotal += commands.length;
  return commands.some(command => command.sources.length > 0);
}

/** Runs `work`; its error gets the lines. Throws DockerfileError. */
export function located<Value>(lines: DockerfileError['locations'][number], work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    throw withLocation(error, lines);
  }
}
