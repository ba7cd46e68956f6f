/** A root with a build context, and builds on it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Builder } from '../../../src/entry/builder/builder.ts';
import { openEmbeddedBuilder } from '../../../src/entry/builder/embedded.ts';
import type { BuildRequest } from '../../../src/entry/builder/request.ts';
import { openBuildHistory } from '../../../src/entry/cli/open-history.ts';
import type { StepExplanation } from '../../../src/insight/explain/explain-build.ts';
import type { CorpusEntry } from './corpus.ts';
import { initialState, type State } from './mutations.ts';

const BASE = fileURLToPath(new URL('../../vectors/base-image', import.meta.url));
const MAIN = fileURLToPath(new URL('../../../src/entry/cli/main.ts', import.meta.url));

export interface Bench extends AsyncDisposable {
  readonly state: State;
  /** Builds the state as it is now and explains the build. */
  build(): Promise<readonly StepExplanation[]>;
}

export function openBench(entry: CorpusEntry): Bench {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-mutation-'));
  const root = join(dir, 'root');
  const context = join(dir, 'context');
  const dockerfile = join(entry.inContext ? context : dir, 'Dockerfile');
  const state = initialState(entry);
  const written = new Map<string, string>();
  let builder: Builder | undefined;
  mkdirSync(context);

  /** Writes only what is not there already, so that nothing changes by itself. */
  function writeContext(): void {
    for (const name of written.keys()) {
      if (state.files.has(name)) continue;
      rmSync(join(context, name));
      written.delete(name);
    }
    for (const [name, { text, mode }] of state.files) {
      const path = join(context, name);
      mkdirSync(dirname(path), { recursive: true });
      if (written.get(name) !== `${mode} ${text}`) {
        writeFileSync(path, text);
        chmodSync(path, Number.parseInt(mode, 8));
        written.set(name, `${mode} ${text}`);
      }
      if (state.touched.includes(name)) utimesSync(path, 1, 1);
    }
    writeFileSync(dockerfile, state.lines.join('\n'));
  }

  async function prune(): Promise<void> {
    // Pruning takes the root for itself.
    await builder?.[Symbol.asyncDispose]();
    builder = undefined;
    const env = { ...process.env, OUTCROP_ROOT: root };
    execFileSync(process.execPath, [MAIN, 'prune', '--all', '--force'], { env, stdio: 'ignore' });
  }

  return {
    state,
    async build() {
      writeContext();
      if (state.prune) await prune();
      builder ??= openEmbeddedBuilder({ root });
      const request = requestOf(state, context, dockerfile);
      await builder.build(request, () => undefined, new AbortController().signal);
      state.prune = false;
      state.flags = {};
      state.touched = [];
      using opened = openBuildHistory(root);
      const [latest] = opened?.history.list({ limit: 1 }) ?? [];
      if (opened === undefined || latest === undefined) throw new Error('the build is not in the history');
      return opened.explain(latest).steps;
    },
    async [Symbol.asyncDispose]() {
      await builder?.[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function requestOf({ entry, args, tag, flags }: State, context: string, dockerfile: string): BuildRequest {
  return {
    context: { kind: 'directory', dir: context },
    dockerfile: { kind: 'file', dir: dirname(dockerfile), filename: 'Dockerfile' },
    namedContexts: new Map([
      ['base', `oci-layout://${BASE}:${tag}`],
      ['other', `oci-layout://${BASE}:layer`],
    ]),
    ...(entry.target === undefined ? {} : { target: entry.target }),
    buildArgs: args,
    labels: new Map(),
    attests: new Map(),
    platforms: [],
    tags: [],
    outputs: [],
    noCache: flags.noCache ?? [],
    pull: false,
    addHosts: flags.addHosts ?? [],
    ulimits: [],
    secrets: [],
    ssh: [],
    allow: [],
    cacheFrom: [],
    cacheTo: [],
    metadata: false,
  };
}
