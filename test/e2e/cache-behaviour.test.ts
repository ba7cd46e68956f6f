/** Builds, changes, builds again: which steps run must be what BuildKit's own runs showed (`test/vectors/cache-behaviour`). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { outcrop, type SeenStep, stepsOf } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

interface CaseFile {
  readonly text?: string;
  readonly mode?: string;
  readonly mtime?: number;
  readonly symlink?: string;
}

interface Change {
  readonly op: string;
  readonly path?: string;
  readonly text?: string;
  readonly mode?: string;
  readonly mtime?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly to?: string;
  readonly target?: string;
  readonly name?: string;
  readonly value?: string;
  readonly ref?: string;
  readonly filter?: string;
  readonly cache?: string;
  readonly which?: string;
}

interface CaseOptions {
  readonly context?: string;
  readonly file?: string;
  readonly target?: string;
  readonly platform?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly contexts?: Readonly<Record<string, string>>;
  readonly noCache?: boolean;
  readonly noCacheFilter?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly cacheFrom?: readonly string[];
  readonly output?: string;
  readonly addHosts?: readonly string[];
}

type Uncertain<T> = T | 'varies';

interface ExpectedStep {
  readonly name: string;
  readonly cached: Uncertain<boolean>;
  readonly done: Uncertain<boolean>;
  readonly from?: boolean;
  readonly output?: string;
}

interface CaseBuild {
  readonly root: string;
  readonly before?: readonly Change[];
  readonly options?: CaseOptions;
  readonly collect?: readonly string[];
  readonly ok: boolean;
  readonly steps: readonly ExpectedStep[];
  readonly result?: Readonly<Record<string, unknown>>;
}

interface Case {
  readonly id: string;
  readonly title: string;
  readonly files: Readonly<Record<string, CaseFile>>;
  readonly builds: readonly CaseBuild[];
}

const vectors = new URL('../vectors/cache-behaviour/', import.meta.url);
const { cases, defaults } = JSON.parse(readFileSync(new URL('cases.json', vectors), 'utf8')) as {
  cases: Case[];
  defaults: { mtime: number };
};
/** Where ours differs on purpose: build number → step → what it does instead, with the reason. */
const { differences } = JSON.parse(readFileSync(new URL('differences.json', vectors), 'utf8')) as {
  differences: Record<string, { reason: string; builds: Record<string, Partial<CaseBuild>> }>;
};

const skip = hasRegistry() ? false : 'docker-registry is not installed';

let registry: TestRegistry;
let work: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-behaviour-'));
  registry = await startRegistry();
});
after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

test(`cache behaviour: ${cases.length} of ${cases.length} scenarios`, {
  skip,
  concurrency: 2,
}, async t => {
  await Promise.all(cases.map(entry => t.test(`${entry.id}: ${entry.title}`, () => runCase(entry))));
});

async function runCase(entry: Case): Promise<void> {
  const dir = join(work, entry.id);
  const context = join(dir, 'context');
  mkdirSync(context, { recursive: true });
  // Tags that cases move are each case's own, so that cases can run side by side.
  const fill = (text: string) =>
    text
      .replaceAll('{{registry}}/app/', `${registry.address}/${entry.id}/app/`)
      .replaceAll('{{registry}}', registry.address)
      .replaceAll('{{cache}}', join(dir, 'cache'));
  for (const [path, file] of Object.entries(entry.files)) putFile(join(context, path), file, fill);
  stampDirectories(context, entry.files);
  for (const [index, build] of entry.builds.entries()) {
    const root = join(dir, `root-${build.root}`);
    for (const change of build.before ?? []) await applyChange(change, entry.id, context, root, fill);
    const expected = { ...build, ...differences[entry.id]?.builds[String(index)] };
    await runBuild(`build ${index + 1} of ${entry.id}`, expected, dir, context, root, fill);
  }
  rmSync(dir, { recursive: true, force: true });
}

async function runBuild(
  what: string,
  build: CaseBuild,
  dir: string,
  context: string,
  root: string,
  fill: (text: string) => string,
): Promise<void> {
  const { options = {} } = build;
  const out = join(dir, 'out');
  rmSync(out, { recursive: true, force: true });
  const args = ['build', '--progress=rawjson', ...flagsOf(options, dir, context, fill)];
  if (build.collect) args.push('--output', `type=local,dest=${out}`);
  else if (options.output) args.push('--output', fill(options.output));
  const { code, stderr } = await outcrop([...args, join(context, options.context ?? '.')], { root });
  assert.equal(code === 0, build.ok, `${what}: exit ${code}\n${stderr}`);
  const wanted = new Set(build.steps.map(step => fill(step.name)));
  const internal = /^\[internal\]|^\[auth\]|^\[context|^exporting|^importing/;
  const seen = stepsOf(stderr).filter(step => wanted.has(step.name) || !internal.test(step.name));
  if (build.ok) compareSteps(what, seen, build.steps, fill);
  for (const [path, wanted] of Object.entries(build.result ?? {}))
    assert.deepEqual(collected(join(out, path)), wanted, `${what}: ${path}`);
}

function compareSteps(
  what: string,
  seen: readonly SeenStep[],
  wanted: readonly ExpectedStep[],
  fill: (text: string) => string,
): void {
  const names = (steps: readonly { name: string }[]) => steps.map(step => fill(step.name)).sort();
  // A warning that BuildKit does not give.
  const shared = seen.filter(({ name }) => !name.startsWith('checking base images of '));
  assert.deepEqual(names(shared), names(wanted), `${what}: steps`);
  for (const step of wanted) {
    const found = seen.find(candidate => candidate.name === fill(step.name));
    if (!found || step.from) continue;
    if (step.cached !== 'varies') assert.equal(found.cached, step.cached, `${what}: ${step.name}: cached`);
    if (step.done !== 'varies') assert.equal(found.done, step.done, `${what}: ${step.name}: ran`);
    if (step.output !== undefined && step.output !== 'varies')
      assert.equal(found.output.trim(), step.output.trim(), `${what}: ${step.name}: output`);
  }
}

function flagsOf(options: CaseOptions, dir: string, context: string, fill: (text: string) => string): string[] {
  const flags: string[] = [];
  const each = (flag: string, values: Readonly<Record<string, string>> = {}) => {
    for (const [name, value] of Object.entries(values)) flags.push(flag, `${fill(name)}=${fill(value)}`);
  };
  if (options.file) flags.push('-f', join(context, options.context ?? '.', options.file));
  if (options.target) flags.push('--target', options.target);
  if (options.platform) flags.push('--platform', options.platform);
  each('--build-arg', options.buildArgs);
  each('--label', options.labels);
  for (const value of options.cacheTo ?? []) flags.push('--cache-to', fill(value));
  for (const value of options.cacheFrom ?? []) flags.push('--cache-from', fill(value));
  for (const [id, value] of Object.entries(options.secrets ?? {})) {
    const file = join(dir, `secret-${id}`);
    writeFileSync(file, value);
    flags.push('--secret', `id=${id},src=${file}`);
  }
  for (const [name, value] of Object.entries(options.contexts ?? {})) {
    flags.push(
      '--build-context',
      `${fill(name)}=${value.startsWith('dir:') ? join(context, value.slice(4)) : fill(value)}`,
    );
  }
  if (options.noCache) flags.push('--no-cache');
  for (const stage of options.noCacheFilter ?? []) flags.push('--no-cache-filter', stage);
  for (const host of options.addHosts ?? []) flags.push('--add-host', host.replace('=', ':'));
  return flags;
}

function putFile(path: string, file: CaseFile, fill: (text: string) => string): void {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true, recursive: true });
  if (file.symlink !== undefined) symlinkSync(file.symlink, path);
  else {
    writeFileSync(path, fill(file.text ?? ''));
    chmodSync(path, Number.parseInt(file.mode ?? '0644', 8));
    utimesSync(path, file.mtime ?? defaults.mtime, file.mtime ?? defaults.mtime);
  }
}

function stampDirectories(context: string, files: Readonly<Record<string, CaseFile>>): void {
  const folders = new Set([context]);
  for (const path of Object.keys(files)) {
    for (let folder = dirname(join(context, path)); folder.length > context.length; folder = dirname(folder))
      folders.add(folder);
  }
  for (const folder of [...folders].sort().reverse()) {
    chmodSync(folder, 0o755);
    utimesSync(folder, defaults.mtime, defaults.mtime);
  }
}

async function applyChange(
  change: Change,
  id: string,
  context: string,
  root: string,
  fill: (text: string) => string,
): Promise<void> {
  const path = join(context, change.path ?? '');
  const target = join(context, change.to ?? '');
  switch (change.op) {
    case 'write':
      return putFile(path, change, fill);
    case 'touch':
      return utimesSync(path, change.mtime ?? 0, change.mtime ?? 0);
    case 'chmod':
      return chmodSync(path, Number.parseInt(change.mode ?? '0644', 8));
    case 'chown':
      return chownSync(path, change.uid ?? 0, change.gid ?? 0);
    case 'remove':
      return rmSync(path, { recursive: true });
    case 'rename':
      mkdirSync(dirname(target), { recursive: true });
      return renameSync(path, target);
    case 'mkdir':
      mkdirSync(path, { recursive: true });
      return chmodSync(path, Number.parseInt(change.mode ?? '0755', 8));
    case 'symlink':
      rmSync(path, { force: true });
      return symlinkSync(change.target ?? '', path);
    case 'hardlink':
      rmSync(path, { force: true });
      return linkSync(target, path);
    case 'xattr':
      execFileSync('setfattr', ['-n', change.name ?? '', '-v', change.value ?? '', path]);
      return;
    case 'tag':
      return registry.tag(`${id}/${change.ref}`, change.to ?? '');
    case 'remove-cache-blob':
      return removeCacheBlobs(fill(`{{cache}}/${change.cache}`), change.which ?? '');
    case 'prune': {
      const { code, stderr } = await outcrop(
        ['prune', '--all', '--force', ...(change.filter ? ['--filter', change.filter] : [])],
        { root },
      );
      assert.equal(code, 0, stderr);
      return;
    }
    default:
      throw new Error(`unknown change ${change.op}`);
  }
}

/** Removes layers of an exported cache from its directory. */
function removeCacheBlobs(directory: string, which: string): void {
  const path = (digest: string) => join(directory, 'blobs/sha256', digest.slice('sha256:'.length));
  const read = (digest: string) => JSON.parse(readFileSync(path(digest), 'utf8'));
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const { config } = read(index.manifests[0].digest);
  const { layers } = read(config.digest) as { layers: { blob: string; parent?: number }[] };
  const parents = new Set(layers.map(({ parent = 0 }) => parent));
  for (const [number, { blob }] of layers.entries()) {
    if (which === 'layers' || !parents.has(number)) rmSync(path(blob), { force: true });
  }
}

function collected(path: string): unknown {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return null;
  if (found.isSymbolicLink()) return { symlink: readlinkSync(path) };
  const mode = `0${(found.mode & 0o7777).toString(8)}`;
  return found.isDirectory() ? { dir: true, mode } : { text: readFileSync(path, 'utf8'), mode };
}
