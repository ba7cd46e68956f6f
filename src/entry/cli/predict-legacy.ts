/** What the legacy builder would look up for a state that is compared. */
import { parseContainerConfig } from '../../engine/legacy/container-config.ts';
import { openLegacyContext } from '../../engine/legacy/context.ts';
import { LegacyBuildError } from '../../engine/legacy/error.ts';
import {
  contextHash,
  type FilesHash,
  type Prediction,
  type PredictionRequest,
  predictSteps,
} from '../../engine/legacy/predict.ts';
import { readLegacyFile } from '../../engine/legacy/read-file.ts';
import { type BuildView, keysOf } from '../../insight/explain/build-view.ts';
import type { PartsReader } from '../../insight/explain/step-kind.ts';
import { imageOf, isDirectory, partsOf } from '../../insight/explain/step-kind.ts';
import { shownValue } from '../../insight/history/secret-values.ts';
import { formatReference, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import type { BuildRequest } from '../builder/request.ts';
import type { Supposed } from '../builder/supposed-build.ts';

/** Configs of base images that were looked up, by the name in the Dockerfile. */
export type BaseConfigs = Map<string, Uint8Array>;

/** A revision has no repository in it, so that of the working tree is no difference. */
export const HIDDEN: readonly string[] = ['.git'];

type Asked = Pick<PredictionRequest, 'target' | 'buildArgs' | 'labels'>;

/** Foretells a state whose files are there. */
export function predictFiles(
  dir: string,
  request: BuildRequest,
  { dockerfile, base }: Supposed,
  configs: BaseConfigs,
  filesHash: FilesHash | undefined,
  signal: AbortSignal,
): Promise<Prediction> {
  const find = async (name: string) => {
    const { digest, config } = await base(name);
    configs.set(name, config);
    return { id: digest, config: configOf(config) };
  };
  // The history does not tell secret values, so that those of a state beside it must look alike.
  const shown = Array.from(request.buildArgs, ([key, value]) => [key, shownValue(key, value)] as const);
  const buildArgs = filesHash === undefined ? request.buildArgs : new Map(shown);
  const asked = { target: request.target, buildArgs, labels: request.labels };
  return predict(
    dockerfile,
    asked,
    find,
    () => filesHash ?? contextHash(openLegacyContext(dir, undefined, HIDDEN).files),
    signal,
  );
}

/** Foretells a build of the history, whose files are known by the keys of the steps that read them. */
export function predictBuild(
  view: BuildView,
  dockerfile: string,
  parts: PartsReader,
  configs: BaseConfigs,
  signal: AbortSignal,
): Promise<Prediction> {
  const { options } = view.summary;
  const asked = {
    target: options.target,
    buildArgs: new Map(Object.entries(options.buildArgs ?? {})),
    labels: new Map(Object.entries(options.labels ?? {})),
  };
  const base = async (name: string) => ({
    id: resolvedDigest(name, view, parts) ?? name,
    config: configOf(configs.get(name)),
  });
  return predict(Buffer.from(dockerfile), asked, base, () => recordedHash(view, parts), signal);
}

/** Tells the files of a step apart by their key in BuildKit's model, where that is known. */
export function recordedHash(view: BuildView, parts: PartsReader): FilesHash {
  return async ({ sources }, lines) => {
    const found = view.stepsAt(lines?.start ?? -1).flatMap(index => {
      const step = view.steps[view.resolve(index)];
      return (step?.inputs ?? []).flatMap((input, at) => {
        const { selector = '', content } = keysOf(step, at);
        return content !== undefined && isDirectory(view.steps[input], parts) ? [`${selector} ${content}`] : [];
      });
    });
    const [first] = found;
    const unread = `unread:${sources.join(' ')}`;
    return first === undefined ? { hash: `${unread} of ${view.summary.id}`, likely: unread } : { hash: first };
  };
}

async function predict(
  dockerfile: Uint8Array,
  asked: Asked,
  base: PredictionRequest['base'],
  filesHash: () => FilesHash,
  signal: AbortSignal,
): Promise<Prediction> {
  try {
    const file = readLegacyFile(dockerfile, 'Dockerfile');
    const findBase: PredictionRequest['base'] = async name => {
      try {
        return await base(name);
      } catch (error) {
        signal.throwIfAborted();
        // BuildKit does not look up what no stage of the result stands on, so it need not be there.
        if (!(error instanceof Error)) throw error;
        return { id: name, config: parseContainerConfig({}) };
      }
    };
    return await predictSteps(file, { ...asked, base: findBase, filesHash: filesHash() }, signal);
  } catch (error) {
    if (!(error instanceof LegacyBuildError)) throw error;
    const line = /line (\d+):/.exec(error.message)?.[1];
    const lines = line === undefined ? undefined : { start: Number(line), end: Number(line) };
    return { steps: [], failure: { message: error.message, lines } };
  }
}

function configOf(bytes: Uint8Array | undefined) {
  if (bytes === undefined) return parseContainerConfig({});
  return parseContainerConfig((JSON.parse(Buffer.from(bytes).toString()) as { config?: unknown }).config);
}

/** The digest that a base's name meant in a build. */
function resolvedDigest(name: string, view: BuildView, parts: PartsReader): string | undefined {
  let wanted: readonly string[];
  try {
    const reference = parseReference(name);
    wanted = [reference, withDefaultTag(reference)].map(formatReference).map(withoutDigest);
  } catch {
    return undefined;
  }
  for (const step of view.steps) {
    const image = imageOf(partsOf(step, parts));
    if (image !== undefined && wanted.includes(withoutDigest(image.name))) return image.digest;
  }
  return undefined;
}

function withoutDigest(reference: string): string {
  return reference.replace(/@sha256:[0-9a-f]+$/, '');
}
