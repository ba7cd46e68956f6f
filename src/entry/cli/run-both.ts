/** Builds states with both builders, in a root of their own, and tells what each found. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runLegacyBuild } from '../../engine/legacy/build.ts';
import type { PredictedOutcome, PredictedStep } from '../../engine/legacy/predict.ts';
import type { StepPlace, StepRecord } from '../../insight/history/build-record.ts';
import { buildRecorder } from '../../insight/history/recorder.ts';
import { runEmbeddedBuild } from '../builder/embedded-build.ts';
import { type Engine, openEngine } from '../builder/engine.ts';
import { type BuildRequest, PLAIN_REQUEST } from '../builder/request.ts';
import { legacyRequest } from './legacy-build.ts';

/** What became of the last of the states. */
export interface BothRuns {
  /** The step of the build that stands at a place. */
  stepAt(place: StepPlace): StepRecord | undefined;
  /** Of each step that was foretold; undefined for those that say nothing of it. */
  readonly legacy: readonly (PredictedOutcome | undefined)[];
  /** Milliseconds of those that ran. */
  readonly legacyDurations: readonly (number | undefined)[];
}

/**
 * Builds one state after another with both builders, neither of which knows anything at first.
 * @param foretold the steps of the last state in the legacy builder. @throws what building throws
 */
export async function runBoth(
  root: string,
  requests: readonly BuildRequest[],
  foretold: readonly PredictedStep[],
  signal: AbortSignal,
): Promise<BothRuns> {
  mkdirSync(root, { recursive: true });
  const dir = mkdtempSync(join(root, 'compare-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const engine = stack.use(await openEngine({ root: dir }, signal));
  const recorder = { steps: [] as readonly StepRecord[] };
  let output: TimedOutput = [];
  for (const request of requests) {
    const { sink, record } = buildRecorder(engine.now());
    await runEmbeddedBuild(engine, request, sink, signal);
    recorder.steps = record().steps;
    output = await buildLegacy(engine, request, signal);
  }
  const byPlace = new Map(recorder.steps.flatMap(step => step.places.map(place => [placeKey(place), step] as const)));
  return { stepAt: place => byPlace.get(placeKey(place)), ...readOutput(output, foretold) };
}

function placeKey({ line, text, platform }: StepPlace): string {
  return JSON.stringify([line, text, platform]);
}

type TimedOutput = { readonly text: string; readonly at: number }[];

async function buildLegacy(engine: Engine, request: BuildRequest, signal: AbortSignal): Promise<TimedOutput> {
  await using stack = new AsyncDisposableStack();
  for (const name of request.namedContexts.keys()) await nameImage(engine, request, name, signal);
  const legacy = await legacyRequest(request, { cacheFrom: [] }, stack);
  const output: TimedOutput = [];
  const write = (data: string | Uint8Array) =>
    void output.push({ text: typeof data === 'string' ? data : '', at: performance.now() });
  await runLegacyBuild(engine, legacy, write, signal);
  output.push({ text: 'Step', at: performance.now() });
  return output;
}

/** The legacy builder has no named contexts: an image that is one gets the name itself. */
async function nameImage(engine: Engine, request: BuildRequest, name: string, signal: AbortSignal): Promise<void> {
  if (!/^(docker-image|oci-layout):/.test(request.namedContexts.get(name) ?? '')) return;
  const { namedContexts, platforms, pull } = request;
  const image: BuildRequest = {
    ...PLAIN_REQUEST,
    dockerfile: { kind: 'text', text: Buffer.from(`FROM ${name}\n`) },
    namedContexts,
    platforms,
    pull,
    attests: new Map([['provenance', 'disabled=true']]),
    outputs: [{ type: 'image', attributes: { name } }],
  };
  await runEmbeddedBuild(engine, image, () => undefined, signal);
}

/** What the output says of the steps. A trigger of a base has no head of its own and stays unknown. */
function readOutput(output: TimedOutput, foretold: readonly PredictedStep[]) {
  const heads = output.flatMap(({ text, at }, index) => (text.startsWith('Step') ? [{ index, at }] : []));
  let next = 0;
  let from: PredictedStep['lines'];
  const read = foretold.map(({ key, lines }) => {
    const isTrigger = key !== undefined && lines !== undefined && lines === from;
    if (key === undefined) from = lines;
    if (isTrigger) return {};
    const [head, end] = [heads[next], heads[next + 1]];
    next++;
    if (key === undefined || head === undefined || end === undefined) return {};
    const isHit = output.slice(head.index, end.index).some(({ text }) => text === ' ---> Using cache\n');
    return isHit ? ({ outcome: 'hit' } as const) : ({ outcome: 'run', duration: end.at - head.at } as const);
  });
  return {
    legacy: read.map(({ outcome }) => outcome),
    legacyDurations: read.map(({ duration }) => duration),
  };
}
