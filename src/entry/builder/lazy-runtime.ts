import type { Runtime, RuntimeOptions } from '../../host/runtime/runtime.ts';

/** The runtime of an engine. Its code is loaded when there is a step to run: most builds find all steps in the cache. */
export function lazyRuntime(options: RuntimeOptions): Runtime {
  let loading: Promise<Runtime> | undefined;
  const load = () => {
    loading ??= import('../../host/runtime/runtime.ts').then(({ createRuntime }) => createRuntime(options));
    return loading;
  };
  return {
    run: async step => (await load()).run(step),
    prepare: async () => (await load()).prepare(),
    async [Symbol.asyncDispose]() {
      await (await loading)?.[Symbol.asyncDispose]();
    },
  };
}
