import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatformAll, normalizePlatform, PlatformError, parsePlatform } from '../../wire/oci/platform.ts';
import type { StageState } from './stage.ts';

/** What decides how steps are named, beside the stage. */
export interface StepNaming {
  readonly multiPlatform: boolean;
}

/** The next step of the stage with its name: `[<platform> <stage> 2/7] <text>`. */
export function nextStepName(
  naming: StepNaming,
  stage: StageState,
  text: string,
  platform: Platform | undefined,
  env: ReadonlyMap<string, string>,
  isTrigger = false,
): string {
  stage.stepNumber++;
  return currentStepName(naming, stage, text, platform, env, isTrigger);
}

/** A further name of the step that was named last. */
export function currentStepName(
  naming: StepNaming,
  stage: StageState,
  text: string,
  platform: Platform | undefined,
  env: ReadonlyMap<string, string>,
  isTrigger = false,
): string {
  // Images of `--from` have no steps and are not counted.
  if (stage.stepTotal === 0) return text;
  const total = String(stage.stepTotal);
  const shownPlatform =
    naming.multiPlatform && platform !== undefined ? `${formatPlatformAll(platform)}${arrowTo(platform, env)} ` : '';
  const shownStage = stage.shownName === '' ? '' : `${stage.shownName} `;
  const number = String(stage.stepNumber).padStart(total.length);
  return `[${shownPlatform}${shownStage}${number}/${total}] ${isTrigger ? 'ONBUILD ' : ''}${text}`;
}

/** The text with its first word, up to a blank, in upper case. */
export function upperCaseKeyword(text: string): string {
  const blank = text.indexOf(' ');
  return blank < 0 ? text.toUpperCase() : text.slice(0, blank).toUpperCase() + text.slice(blank);
}

/** `->arm64` for a step that builds for another platform than it runs on, as the TARGET variables say. */
function arrowTo(platform: Platform, env: ReadonlyMap<string, string>): string {
  const named = targetOf(env);
  if (named === undefined) return '';
  const target = normalizePlatform({
    ...named,
    os: named.os || platform.os,
    architecture: named.architecture || platform.architecture,
  });
  if (target.os !== platform.os) return `->${formatPlatformAll(target)}`;
  if (target.architecture === platform.architecture) return '';
  return `->${target.architecture}${target.variant === undefined ? '' : `/${target.variant}`}`;
}

function targetOf(env: ReadonlyMap<string, string>): Platform | undefined {
  const target: { os: string; architecture: string; variant: string } = { os: '', architecture: '', variant: '' };
  const members = { TARGETOS: 'os', TARGETARCH: 'architecture', TARGETVARIANT: 'variant' } as const;
  let isSet = false;
  for (const [key, value] of env) {
    if (key === 'TARGETPLATFORM') {
      const parsed = parseOrSkip(value);
      if (parsed !== undefined) return parsed;
    } else if (key === 'TARGETOS' || key === 'TARGETARCH' || key === 'TARGETVARIANT') {
      target[members[key]] = value;
      isSet = true;
    }
  }
  return isSet ? target : undefined;
}

function parseOrSkip(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch (error) {
    if (error instanceof PlatformError) return undefined;
    throw error;
  }
}
