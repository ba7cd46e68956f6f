import type { EventSink } from '../../engine/status/event.ts';
import { enterPrivateMountNamespace, inPrivateMountNamespace } from '../../host/system/namespace.ts';
import type { Builder } from './builder.ts';
import { runEmbeddedBuild } from './embedded-build.ts';
import { runEmbeddedCall } from './embedded-call.ts';
import { type Engine, type EngineOptions, openEngine } from './engine.ts';
import { buildStart, recordBuild } from './record-build.ts';
import type { BuildRequest, BuildResult } from './request.ts';
import type { SupposeOptions } from './supposed-build.ts';

export interface EmbeddedBuilder extends Builder {
  /** Looks up what a build needs and runs nothing. See `runEmbeddedPlan` for what it returns and throws. */
  plan(
    request: BuildRequest,
    emit: EventSink,
    signal: AbortSignal,
  ): ReturnType<typeof import('./embedded-plan.ts').runEmbeddedPlan>;
  /** Finds the keys of all steps of a build as if no cache had any, and runs nothing. See `runSupposedBuild`. */
  suppose<T>(request: BuildRequest, options: SupposeOptions<T>, signal: AbortSignal): Promise<T>;
  /** Builds with empty and with filled cache mounts, and compares. See `runEmbeddedVerify`. */
  verify(
    request: BuildRequest,
    observe: Parameters<typeof import('./embedded-verify.ts').runEmbeddedVerify>[2],
    signal: AbortSignal,
  ): ReturnType<typeof import('./embedded-verify.ts').runEmbeddedVerify>;
}

/**
 * A builder in this process. Enters a private mount namespace at once, so it must be made before anything asynchronous
 * runs; everything else is opened by the first build.
 * @throws NamespaceError when the process may not mount, or has threads already.
 */
export function openEmbeddedBuilder(options: EngineOptions = {}): EmbeddedBuilder {
  if (!inPrivateMountNamespace()) enterPrivateMountNamespace();
  const stack = new AsyncDisposableStack();
  let engine: Promise<Engine> | undefined;
  const open = (signal: AbortSignal) => {
    engine ??= openEngine(options, signal).then(opened => stack.use(opened));
    return engine;
  };
  return {
    async build(request: BuildRequest, emit: EventSink, signal: AbortSignal): Promise<BuildResult> {
      const opened = await open(signal);
      const start = (startedAt: number) => buildStart(request, startedAt);
      return recordBuild(opened, start, emit, signal, recorded => runEmbeddedBuild(opened, request, recorded, signal));
    },
    call: async (request, requestID, emit, signal) =>
      runEmbeddedCall(await open(signal), request, requestID, emit, signal),
    async plan(request, emit, signal) {
      const { runEmbeddedPlan } = await import('./embedded-plan.ts');
      return runEmbeddedPlan(await open(signal), request, emit, signal);
    },
    async suppose(request, options, signal) {
      const { runSupposedBuild } = await import('./supposed-build.ts');
      return runSupposedBuild(await open(signal), request, options, signal);
    },
    async verify(request, observe, signal) {
      const { runEmbeddedVerify } = await import('./embedded-verify.ts');
      return runEmbeddedVerify(await open(signal), request, observe, signal);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
