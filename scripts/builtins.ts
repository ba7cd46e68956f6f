/** How the bundle comes to Node's own modules: faster than by `import`, which reads every export, lazy ones too. */
import { builtinModules } from 'node:module';
import type { Plugin } from 'esbuild';

/** What almost every command needs at once; the others are loaded when something of theirs is first used. */
const NEEDED_AT_ONCE = new Set(['fs', 'os', 'path', 'sqlite', 'url', 'util']);

const NAMESPACE = 'node-builtin';

/** For CommonJS, which reads when it likes; for imports, at once or when something is first used. */
type Form = 'required' | 'atOnce' | 'lazy';

/** An esbuild plugin that takes Node's own modules from the process, each when it is needed. */
export const builtins: Plugin = {
  name: 'builtins',
  setup(build) {
    build.onResolve({ filter: /^[a-z]/ }, ({ path, kind, namespace }) => {
      const name = path.replace(/^node:/, '');
      const own = path.startsWith('node:') || builtinModules.includes(name);
      if (!own || kind === 'dynamic-import' || namespace === NAMESPACE) return undefined;
      const atOnce = NEEDED_AT_ONCE.has(name);
      const form: Form = kind === 'require-call' && name !== 'child_process' ? 'required' : atOnce ? 'atOnce' : 'lazy';
      return { path: name, namespace: NAMESPACE, suffix: `?${form}`, sideEffects: false };
    });
    build.onLoad({ filter: /.*/, namespace: NAMESPACE }, ({ path, suffix }) => ({
      contents:
        suffix === '?lazy' ? lazyModule(path) : suffix === '?atOnce' ? moduleAtOnce(path) : requiredModule(path),
    }));
  },
};

function requiredModule(name: string): string {
  return `module.exports = process.getBuiltinModule('node:${name}');`;
}

/** Leaves out getters: reading one loads what it stands for. */
function moduleAtOnce(name: string): string {
  const names = Object.entries(Object.getOwnPropertyDescriptors(builtin(name)))
    .filter(([key, { get }]) => isName(key) && get === undefined)
    .map(([key]) => key);
  return `const all = process.getBuiltinModule('node:${name}');
export const { ${names.join(', ')} } = all;
export default all;`;
}

/** CommonJS, because what a bundle imports from it stays a property that is read at each use. */
function lazyModule(name: string): string {
  const names = Object.keys(Object.getOwnPropertyDescriptors(builtin(name))).filter(isName);
  return `let all;
for (const name of '${names.join(' ')}'.split(' ')) {
  const get = () => (all ??= process.getBuiltinModule('node:${name}'))[name];
  Object.defineProperty(exports, name, { get, enumerable: true });
}`;
}

function builtin(name: string): object {
  const found: unknown = process.getBuiltinModule(`node:${name}`);
  if ((typeof found !== 'object' && typeof found !== 'function') || found === null)
    throw new Error(`Node has no module ${name}`);
  return found;
}

function isName(key: string): boolean {
  return /^[a-zA-Z_$][\w$]*$/.test(key) && key !== 'default';
}
