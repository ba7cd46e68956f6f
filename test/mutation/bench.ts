/** A root with a build context, and builds on it. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
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
import { setXattr } from '../../src/host/system/xattr.ts';
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
  const secret = join(dir, 'secret');
  const state = initialState(entry);
  let context = join(dir, state.place);
  const written = new Map<string, string>();
  const made = new Set<string>();
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
    const place = join(dir, state.place);
    if (place !== context) {
      mkdirSync(dirname(place), { recursive: true });
      renameSync(context, place);
    }
    context = place;
    for (const name of written.keys()) {
      if (state.files.has(name)) continue;
      rmSync(join(context, name));
      written.delete(name);
    }
    for (const name of made) {
      if (state.directories.has(name)) continue;
      if (!state.files.has(name)) rmSync(join(context, name), { recursive: true });
      made.delete(name);
    }
    for (const [name, file] of state.files) {
      const path = join(context, name);
      mkdirSync(dirname(path), { recursive: true });
      const key = JSON.stringify(file);
      if (written.get(name) !== key) {
        const to =
          file.hardLink !== undefined && isEqual(file, state.files.get(file.hardLink)) ? file.hardLink : undefined;
        const keepTimes = state.backdated.includes(name);
        writeFile(path, file, { keepTimes, ...(to === undefined ? {} : { hardLink: join(context, to) }) });
        written.set(name, key);
      }
    }
    for (const [name, mode] of state.directories) {
      mkdirSync(join(context, name), { recursive: true });
      chmodSync(join(context, name), Number.parseInt(mode, 8));
      made.add(name);
    }
    for (const name of state.touched) utimesSync(join(context, name), 1, 1);
    for (const [name, { text }] of state.extra) {
      const path = join(dir, state.extraDir, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    writeFileSync(dockerfile(), state.lines.join('\n').replaceAll('{server}', server));
    if (state.secret !== undefined) writeFileSync(secret, state.secret);
  }

  function dockerfile(): string {
    return join(entry.inContext ? context : dir, 'Dockerfile');
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
      const paths = { context, dockerfile: dockerfile(), secret, extra: join(dir, state.extraDir) };
      const request = { ...requestOf(state, paths), cacheFrom, cacheTo };
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

function writeFile(
  path: string,
  { text, mode, link, xattr, owner = 0 }: CorpusFile,
  { keepTimes, hardLink }: { readonly keepTimes: boolean; readonly hardLink?: string },
): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  // What is written through a link would change the file that it leads to.
  if (before !== undefined && (hardLink !== undefined || !before.isFile() || before.nlink > 1))
    rmSync(path, { recursive: true });
  if (hardLink !== undefined) {
    linkSync(hardLink, path);
    return;
  }
  if (link !== undefined) {
    rmSync(path, { force: true });
    symlinkSync(link, path);
    return;
  }
  writeFileSync(path, text);
  chmodSync(path, Number.parseInt(mode, 8));
  chownSync(path, owner, owner);
  if (xattr !== undefined) setXattr(path, 'user.note', Buffer.from(xattr));
  if (keepTimes && before !== undefined) utimesSync(path, before.atime, before.mtime);
}

/** Whether two names can be one file. */
function isEqual(a: CorpusFile, b: CorpusFile | undefined): boolean {
  const keyOf = ({ text, mode, link, xattr, owner }: CorpusFile) => JSON.stringify([text, mode, link, xattr, owner]);
  return b !== undefined && keyOf(a) === keyOf(b);
}

/** A server of one file. */
async function startServer(state: State, stack: AsyncDisposableStack): Promise<string> {
  return stack.use(await startHttpServer((_, response) => response.end(state.download))).url;
}

function requestOf(
  { entry, args, tags, flags, target, extra, extraTag, secret: value }: State,
  paths: Readonly<Record<'context' | 'dockerfile' | 'secret' | 'extra', string>>,
): BuildRequest {
  const { context, dockerfile, secret } = paths;
  const named = extraTag === undefined ? paths.extra : `oci-layout://${BASE_IMAGES}:${extraTag}`;
  return {
    ...PLAIN_REQUEST,
    ...flags.others,
    context: { kind: 'directory', dir: context },
    dockerfile: { kind: 'file', dir: dirname(dockerfile), filename: 'Dockerfile' },
    namedContexts: new Map([
      ['base', `oci-layout://${BASE_IMAGES}:${tags.base}`],
      ['other', `oci-layout://${BASE_IMAGES}:${tags.other}`],
      ...(extra.size === 0 ? [] : [['extra', named] as const]),
    ]),
    ...(target === undefined ? {} : { target }),
    buildArgs: flags.arg === undefined ? args : new Map([...args, flags.arg]),
    labels: new Map(flags.label === undefined ? [] : [['label', flags.label]]),
    platforms: flags.platform === undefined ? (entry.platforms ?? []) : [flags.platform],
    noCache: flags.noCache ?? [],
    addHosts: flags.addHosts ?? [],
    ulimits: flags.ulimits ?? [],
    ...(flags.network === undefined ? {} : { network: flags.network }),
    ...(flags.shmSize === undefined ? {} : { shmSize: flags.shmSize }),
    secrets: value === undefined ? [] : [{ id: 'token', file: secret }],
  };
}
