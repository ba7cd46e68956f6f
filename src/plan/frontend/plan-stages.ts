import { compilePatterns } from '../../wire/fsutil/patterns.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { compareBytewise } from '../llb/order.ts';
import { DEFAULT_PATH } from './image-draft.ts';
import { type InstructionScope, scopeOf } from './instruction-scope.ts';
import {
  planArg,
  planCmd,
  planEntrypoint,
  planEnv,
  planExpose,
  planHealthCheck,
  planLabel,
  planMaintainer,
  planShell,
  planStopSignal,
  planUser,
  planVolume,
} from './plan-config.ts';
import type { PlanContext } from './plan-context.ts';
import { planAdd, planCopy } from './plan-copy.ts';
import { planRun } from './plan-run.ts';
import { planWorkdir, setWorkdir } from './plan-workdir.ts';
import { followPathsOf, inherit, type StageState, setStageEnv } from './stage.ts';
import { located } from './stage-graph.ts';

/**
 * Plans the instructions of the needed stages, in file order. Throws DockerfileError, and PatternSyntaxError for the
 * patterns of an ignore file.
 */
export async function planStages(
  context: PlanContext,
  needed: ReadonlySet<StageState>,
  target: StageState,
): Promise<void> {
  const patterns = await context.source.ignorePatterns(context.signal);
  if (patterns.length > 0) context.ignoreMatcher = compilePatterns(patterns);
  const wanted = new Set<string>();
  context.contextEdge = context.source.mainContext(patterns, () => followPathsOf(wanted, compareBytewise));
  for (const stage of context.stages.all) {
    if (!context.allStages && (!needed.has(stage) || stage.isPlanned)) continue;
    planStage(context, stage);
    for (const path of stage.contextPaths) wanted.add(path);
  }
  // All of the result is wanted; it may be a named context as it is.
  target.usedPaths.add('/');
}

function planStage(context: PlanContext, stage: StageState): void {
  inherit(stage);
  stage.isPlanned = true;
  stage.platform ??= context.targetPlatform;
  const { config } = stage.image;
  if (!config.env.has('PATH') && stage.platform.os !== 'windows') config.env.set('PATH', DEFAULT_PATH);
  for (const [key, value] of config.env) setStageEnv(stage, key, value);
  const lines = stage.lines ?? { start: 0, end: 0 };
  if (config.workingDir !== '') located(lines, () => setWorkdir(context, stage, config.workingDir));
  if (config.user !== '') stage.user = config.user;
  for (const command of stage.commands) {
    try {
      planInstruction(scopeOf(context, stage, command));
    } catch (error) {
      // The options of mounts say where they are themselves.
      if (error instanceof DockerfileError && error.locations.length > 0) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new DockerfileError(message, [command.instruction.lines], { cause: error });
    }
  }
}

function planInstruction(scope: InstructionScope): void {
  const { instruction } = scope.command;
  switch (instruction.kind) {
    case 'ADD':
      planAdd(scope, instruction);
      break;
    case 'ARG':
      planArg(scope, instruction);
      break;
    case 'CMD':
      planCmd(scope, instruction);
      break;
    case 'COPY':
      planCopy(scope, instruction);
      break;
    case 'ENTRYPOINT':
      planEntrypoint(scope, instruction);
      break;
    case 'ENV':
      planEnv(scope, instruction);
      break;
    case 'EXPOSE':
      planExpose(scope, instruction);
      break;
    case 'HEALTHCHECK':
      planHealthCheck(scope, instruction);
      break;
    case 'LABEL':
      planLabel(scope, instruction);
      break;
    case 'MAINTAINER':
      planMaintainer(scope, instruction.maintainer);
      break;
    case 'ONBUILD': {
      const { config } = scope.stage.image;
      config.onBuild = [...config.onBuild, instruction.expression];
      break;
    }
    case 'RUN':
      planRun(scope, instruction);
      break;
    case 'SHELL':
      planShell(scope, instruction.shell);
      break;
    case 'STOPSIGNAL':
      planStopSignal(scope, instruction.signal);
      break;
    case 'USER':
      planUser(scope, instruction.user);
      break;
    case 'VOLUME':
      planVolume(scope, instruction);
      break;
    case 'WORKDIR':
      planWorkdir(scope, instruction.path);
      break;
  }
}
