import { lintRelativeWorkdir } from '../dockerfile/lint/plan-rules.ts';
import { fileVertex } from '../llb/file.ts';
import { addHistory } from './history.ts';
import { displayText, type InstructionScope } from './instruction-scope.ts';
import type { PlanContext } from './plan-context.ts';
import { locationOf, type StageState } from './stage.ts';
import { nextStepName } from './step-name.ts';
import { isAbsolute, joinWorkdir, toSlash, within } from './system-path.ts';

const NANOSECONDS = 1_000_000_000n;

/** Sets the directory that a base image's config names: for steps, without a step. @throws SystemPathError */
export function setWorkdir({ targetPlatform }: PlanContext, stage: StageState, path: string): string {
  const os = (stage.platform ?? targetPlatform).os;
  const dir = within(() => joinWorkdir(stage.image.config.workingDir, path, os), 'normalizing workdir');
  stage.image.config.workingDir = dir;
  stage.dir = toSlash(dir, os);
  return stage.dir;
}

/** WORKDIR: the directory is made, unless it is the root. */
export function planWorkdir(scope: InstructionScope, written: string): void {
  const { context, stage, command } = scope;
  const path = scope.word(written);
  const platform = stage.platform ?? context.targetPlatform;
  if (!stage.hasWorkdir && !isAbsolute(path, platform.os))
    lintRelativeWorkdir(scope.linter, path, command.instruction.lines);
  stage.hasWorkdir = true;
  const dir = setWorkdir(context, stage, path);
  if (dir !== '/') {
    const { user } = stage.image.config;
    const name = nextStepName(context.options, stage, displayText(scope), platform, stage.env, command.isTrigger);
    stage.edge = fileVertex(
      {
        base: stage.edge,
        actions: [
          {
            kind: 'mkdir',
            path: dir,
            mode: 0o755,
            parents: true,
            ...(user === '' ? {} : { owner: user }),
            ...(context.epoch === undefined ? {} : { timestamp: BigInt(context.epoch) * NANOSECONDS }),
          },
        ],
      },
      { name, locations: [locationOf(context.source.dockerfile, command.instruction.lines)] },
    );
    scope.addStep(stage.edge.vertex);
  }
  addHistory(context, stage, `WORKDIR ${dir}`, dir === '/' ? 'no layer' : 'a layer');
}
