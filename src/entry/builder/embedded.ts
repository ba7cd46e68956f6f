import type { EventSink } from '../../engine/status/event.ts';
import { enterPrivateMountNamespace, inPrivateMountNamespace } from '../../host/system/namespace.ts';
import type { Builder } from './builder.ts';
import type { EngineOptions } from './engine.ts';
import type { BuildRequest, BuildResult } from './request.ts';

/**
 * A builder in this process. Enters a private mount namespace at once, so it must be made before anything asynchronous
 * runs; everything else is opened by the first build.
 * @throws NamespaceError when the process may not mount, or has threads already.
 */
export function openEmbeddedBuilder(options: EngineOptions = {}): Builder {
  if (!inPrivateMountNamespace()) enterPrivateMountNamespace();
  const stack = new AsyncDisposableStack();
  let engine: Promise<import('./engine.ts').Engine> | undefined;
  return {
    async build(request: BuildRequest, emit: EventSink, signal: AbortSignal): Promise<BuildResult> {
      engine ??= import('./engine.ts').then(async ({ openEngine }) => stack.use(await openEngine(options, signal)));
      const [{ runEmbeddedBuild }, { recordBuild }] = await Promise.all([
        import('./embedded-build.ts'),
        import('./record-build.ts'),
      ]);
      const opened = await engine;
      return recordBuild(opened, request, emit, signal, recorded =>
        runEmbeddedBuild(opened, request, recorded, signal),
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
