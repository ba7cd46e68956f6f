/** A root with a build context, and builds on it. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Builder } from '../../src/entry/builder/builder.ts';
import { openEmbeddedBuilder } from '../../src/entry/builder/embedded.ts';
import { type BuildRequest, type CacheRequest, PLAIN_REQUEST } from '../../src/entry/builder/request.ts';
import { openBuildHistory } from '../../src/entry/cli/open-history.ts';
import type { StepExplanation } from '../../src/insight/explain/explain-build.ts';
import { BASE_IMAGES } from '../support/base-image.ts';
import { startHttpServer } from '../support/http-server.ts';
import type { CorpusEntry, CorpusFile } from './corpus.ts';
import { initialState, type State } from './state.ts';

const MAIN = fileURLToPath(new URL('../../src/entry/cli/main.ts', import.meta.url));

/** Where and with which caches a build is made. */
interface BuildPlace {
  /** The name of a root. */
  readonly root?: string;
  readonly cacheFrom?: readonly CacheRequest[];
  readonly cacheTo?: readonly CacheRequest[];
}

export interface Bench extends AsyncDisposable {
  readonly state: State;
  /** A directory for what a test keeps beside. */
  readonly dir: string;
  /** Builds the state as it is now and explains the build. */
  build(place?: BuildPlace): Promise<readonly StepExplanation[]>;
  /** Removes every result of a root. */
  prune(root?: string): Promise<void>;
}

export async function openBench(entry: CorpusEntry): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-mutation-'));
  const context = join(dir, 'context');
  const dockerfile = join(entry.inContext ? context : dir, 'Dockerfile');
  const secret = join(dir, 'secret');
  const state = initialState(entry);
  const written = new Map<string, string>();
  const builders = new Map<string, Builder>();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  stack.defer(async () => {
    for (const builder of builders.values()) await builder[Symbol.asyncDispose]();
  });
  const server = entry.dockerfile.includes('{server}') ? await startServer(state, stack) : '';
  mkdirSync(context);

  /** Writes only what is not there already, so that nothing changes by itself. */
  function writeContext(): void {
    for (const name of written.keys()) {
      if (state.files.has(name)) continue;
      rmSync(join(context, name));
      written.delete(name);
    }
    for (const [name, file] of state.files) {
      const path = join(context, name);
      mkdirSync(dirname(path), { recursive: true });
      const key = JSON.stringify(file);
      if (written.get(name) !== key) {
        writeFile(path, file, state.backdated.includes(name));
        written.set(name, key);
      }
      if (state.touched.includes(name)) utimesSync(path, 1, 1);
    }
    for (const [name, mode] of state.directories) {
      mkdirSync(join(context, name), { recursive: true });
      chmodSync(join(context, name), Number.parseInt(mode, 8));
    }
    writeFileSync(dockerfile, state.lines.join('\n').replaceAll('{server}', server));
    writeFileSync(secret, state.secret);
  }

  async function closeBuilder(root: string): Promise<void> {
    await builders.get(root)?.[Symbol.asyncDispose]();
    builders.delete(root);
  }

  async function prune(root = 'root'): Promise<void> {
    // Pruning takes the root for itself.
    await closeBuilder(root);
    const env = { ...process.env, OUTCROP_ROOT: join(dir, root) };
    execFileSync(process.execPath, [MAIN, 'prune', '--all', '--force'], { env, stdio: 'ignore' });
  }

  const lifetime = stack.move();
  return {
    state,
    dir,
    async build({ root = 'root', cacheFrom = [], cacheTo = [] } = {}) {
      writeContext();
      if (state.prune) await prune(root);
      const builder = builders.get(root) ?? openEmbeddedBuilder({ root: join(dir, root) });
      builders.set(root, builder);
      const request = { ...requestOf(state, { context, dockerfile, secret }), cacheFrom, cacheTo };
      const built = builder.build(request, () => undefined, new AbortController().signal);
      const isFailed = await built.then(
        () => false,
        error => {
          if (!state.fails) throw error;
          return true;
        },
      );
      if (state.fails && !isFailed) throw new Error('a build that should fail did not');
      Object.assign(state, { prune: false, fails: false, flags: {}, touched: [], backdated: [] });
      using opened = openBuildHistory(join(dir, root));
      const [latest] = opened?.history.list({ limit: 1 }) ?? [];
      if (opened === undefined || latest === undefined) throw new Error('the build is not in the history');
      return opened.explain(latest).steps;
    },
    prune,
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  };
}

function writeFile(path: string, { text, mode, link, owner = 0 }: CorpusFile, keepTimes: boolean): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (link !== undefined) {
    rmSync(path, { force: true });
    symlinkSync(link, path);
    return;
  }
  if (before?.isDirectory()) rmSync(path, { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, Number.parseInt(mode, 8));
  chownSync(path, owner, owner);
  if (keepTimes && before !== undefined) utimesSync(path, before.atime, before.mtime);
}

/** A server of one file. */
async function startServer(state: State, stack: AsyncDisposableStack): Promise<string> {
  return stack.use(await startHttpServer((_, response) => response.end(state.download))).url;
}

function requestOf(
  { entry, args, tags, flags, target }: State,
  { context, dockerfile, secret }: Readonly<Record<'context' | 'dockerfile' | 'secret', string>>,
): BuildRequest {
  return {
    ...PLAIN_REQUEST,
    context: { kind: 'directory', dir: context },
    dockerfile: { kind: 'file', dir: dirname(dockerfile), filename: 'Dockerfile' },
    namedContexts: new Map([
      ['base', `oci-layout://${BASE_IMAGES}:${tags.base}`],
      ['other', `oci-layout://${BASE_IMAGES}:${tags.other}`],
    ]),
    ...(target === undefined ? {} : { target }),
    buildArgs: args,
    labels: new Map(flags.label === undefined ? [] : [['label', flags.label]]),
    platforms: flags.platform === undefined ? (entry.platforms ?? []) : [flags.platform],
    noCache: flags.noCache ?? [],
    addHosts: flags.addHosts ?? [],
    ulimits: flags.ulimits ?? [],
    secrets: [{ id: 'token', file: secret }],
  };
}
