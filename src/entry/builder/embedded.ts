import type { EventSink } from '../../engine/status/event.ts';
import { enterPrivateMountNamespace, inPrivateMountNamespace } from '../../host/system/namespace.ts';
import type { Builder } from './builder.ts';
import { runEmbeddedBuild } from './embedded-build.ts';
import { type Engine, type EngineOptions, openEngine } from './engine.ts';
import { recordBuild } from './record-build.ts';
import type { BuildRequest, BuildResult } from './request.ts';

/**
 * A builder in this process. Enters a private mount namespace at once, so it must be made before anything asynchronous
 * runs; everything else is opened by the first build.
 * @throws NamespaceError when the process may not mount, or has threads already.
 */
export function openEmbeddedBuilder(options: EngineOptions = {}): Builder {
  if (!inPrivateMountNamespace()) enterPrivateMountNamespace();
  const stack = new AsyncDisposableStack();
  let engine: Promise<Engine> | undefined;
  return {
    async build(request: BuildRequest, emit: EventSink, signal: AbortSignal): Promise<BuildResult> {
      engine ??= openEngine(options, signal).then(opened => stack.use(opened));
      const opened = await engine;
      return recordBuild(opened, request, emit, signal, recorded =>
        runEmbeddedBuild(opened, request, recorded, signal),
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
