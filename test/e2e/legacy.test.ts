/** Builds with `--legacy` what docker's own builder was seen to build (`test/vectors/legacy`): same steps, same words. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { openContentStore } from '../../src/store/content/content-store.ts';
import { openImageStore } from '../../src/store/content/images.ts';
import { readStoredImage } from '../../src/store/content/stored-image.ts';
import { openDatabase } from '../../src/store/database.ts';
import { rootLayout } from '../../src/store/root-layout.ts';
import { outcrop } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

interface Build {
  readonly label: string;
  readonly commands?: readonly (readonly string[])[];
  readonly dockerfile: string;
  readonly files: Readonly<Record<string, string>>;
  readonly modes: Readonly<Record<string, string>>;
  readonly touched: readonly string[];
  readonly args: readonly string[];
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly builds: readonly Build[];
}

const VECTORS = new URL('../vectors/legacy/', import.meta.url);
const RECORDED_REGISTRY = 'localhost:5000';
const RECORDED_SERVER = '127.0.0.1:5988';
/** All files have this time but those that were touched. */
const MTIME = 1577934245;
/** A line that pulling prints. */
const PULLING =
  /^(?:\S+: Pulling from .*|[0-9a-f]{12}: (?:Pull|Verifying|Download|Already) .*|[0-9a-f]{12}: Pulling fs layer|Digest: .*|Status: .*)\n/gm;
const ARCHIVE = '<a gzip tar of in/f>';

const scenarios = readdirSync(VECTORS)
  .filter(name => name.endsWith('.json'))
  .sort()
  .map(name => JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')) as Scenario);
const builds = scenarios.flatMap(scenario => scenario.builds).filter(({ commands }) => commands === undefined);
const skip = hasRegistry() ? false : 'docker-registry is not installed';

let registry: TestRegistry;
let server: Server;
let work: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-legacy-'));
  registry = await startRegistry();
  const notFound = builds.find(({ label }) => label === '404')?.stderr.replace(/^.*?404 File not found: /s, '') ?? '';
  server = createServer((request, response) => {
    if (request.url === '/small.txt') {
      response.writeHead(200, { 'last-modified': 'Thu, 02 Jan 2020 03:04:05 GMT' }).end('small\n');
    } else response.writeHead(404, 'File not found', { 'content-type': 'text/html' }).end(notFound.slice(0, -1));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  if (skip) return;
  server.closeAllConnections();
  server.close();
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

test(`the legacy builder: ${builds.length} recorded builds of ${scenarios.length} scenarios`, {
  skip,
  concurrency: 2,
}, async t => {
  await Promise.all(scenarios.map(scenario => t.test(`${scenario.name}: ${scenario.title}`, () => run(scenario))));
});

async function run(scenario: Scenario): Promise<void> {
  const dir = join(work, scenario.name);
  const replaced: Ids = { images: new Map(), containers: new Map() };
  let root = join(dir, 'root-0');
  let saved: SavedImage | undefined;
  for (const [index, build] of scenario.builds.entries()) {
    if (build.commands !== undefined) {
      saved ??= await saveImage(root, 'docker.io/library/lgcache:1');
      root = join(dir, `root-${index}`);
      await loadImage(root, saved);
      continue;
    }
    const context = join(dir, `context-${index}`);
    const dockerfile = here(build.dockerfile);
    layOut(context, { ...build.files, Dockerfile: dockerfile }, build);
    const { code, stdout, stderr } = await outcrop(['build', '--legacy', ...build.args.map(here), '.'], {
      root,
      cwd: context,
    });
    const pulls = scenario.name === '01-build-twice' && index === 0;
    const name = `${scenario.name}, ${build.label}`;
    assert.equal(shown(stdout.toString(), replaced, pulls), dateless(build.stdout), `${name}: stdout (${stderr})`);
    assert.equal(withoutReason(there(stderr)), withoutReason(build.stderr), `${name}: stderr`);
    assert.equal(code, build.exitCode, `${name}: exit code`);
  }
}

function here(text: string): string {
  const { port } = server.address() as AddressInfo;
  return text.replaceAll(RECORDED_REGISTRY, registry.address).replaceAll(RECORDED_SERVER, `127.0.0.1:${port}`);
}

function there(text: string): string {
  const { port } = server.address() as AddressInfo;
  return text.replaceAll(registry.address, RECORDED_REGISTRY).replaceAll(`127.0.0.1:${port}`, RECORDED_SERVER);
}

interface Ids {
  readonly images: Map<string, string>;
  readonly containers: Map<string, string>;
}

/** What was printed, ids replaced by numbers as in the vectors, which leave out what pulling prints. */
function shown(stdout: string, { images, containers }: Ids, pulls: boolean): string {
  const numbered = (ids: Map<string, string>, kind: string) => (_: string, head: string, id: string) => {
    const name = ids.get(id) ?? `<${kind}-${ids.size + 1}>`;
    ids.set(id, name);
    return head + name;
  };
  const named = there(stdout)
    .replace(/^( ---> |Successfully built )([0-9a-f]{12})$/gm, numbered(images, 'image'))
    .replace(
      /^( ---> Running in |Removing intermediate container )([0-9a-f]{12})$/gm,
      numbered(containers, 'container'),
    )
    .replace(/^sha256:[0-9a-f]{64}$/gm, 'sha256:<id>');
  if (pulls) return dateless(named.replace(/^[0-9a-f]{12}(?=: \w)/gm, '<layer>'));
  return dateless(named.replace(PULLING, ''));
}

/** Without what differs in each run: the id that `-q` prints, dates that steps print. */
function dateless(text: string): string {
  return text
    .replace(/[A-Z][a-z]{2} [ \d]\d (?: \d{4}|\d\d:\d\d)/g, '<date>')
    .replace(/^sha256:[0-9a-f]{64}$/gm, 'sha256:<id>');
}

/** Without why a host could not be reached, which the system says in its own words. */
function withoutReason(text: string): string {
  return text.replace(/^(ADD failed: Get "[^"]*": |invalid from flag value nostage: ).*\n/, '$1<reason>\n');
}

function layOut(context: string, files: Readonly<Record<string, string>>, build: Build): void {
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    const file = join(context, path);
    mkdirSync(dirname(file), { recursive: true });
    if (text === ARCHIVE) writeArchive(file);
    else writeFileSync(file, text);
    chmodSync(file, 0o644);
  }
  for (const [path, mode] of Object.entries(build.modes)) chmodSync(join(context, path), Number.parseInt(mode, 8));
  const paths = readdirSync(context, { recursive: true, encoding: 'utf8' });
  for (const path of ['.', ...paths].toSorted().reverse()) {
    const file = join(context, path);
    const mode = build.modes[path];
    if (mode === undefined && statSync(file).isDirectory()) chmodSync(file, 0o755);
    const time = build.touched.includes(path) ? Date.now() / 1000 : MTIME;
    utimesSync(file, time, time);
  }
}

/** A gzip tar that holds `in/` and `in/f`. */
function writeArchive(file: string): void {
  const dir = mkdtempSync(join(work, 'archive-'));
  mkdirSync(join(dir, 'in'));
  writeFileSync(join(dir, 'in', 'f'), '1\n');
  execFileSync('tar', ['-C', dir, '--owner=3', '--group=4', '--mtime=@0', '-czf', file, 'in']);
}

interface SavedImage {
  readonly name: string;
  readonly target: Parameters<ReturnType<typeof openImageStore>['put']>[1];
  readonly blobs: readonly Uint8Array[];
}

/** `docker save`: an image and nothing that it was made of. */
async function saveImage(root: string, name: string): Promise<SavedImage> {
  using database = openDatabase(root);
  const content = openContentStore(rootLayout(root).content);
  const target = openImageStore(database).get(name)?.target;
  assert(target, `${name} is not in the store`);
  const { blobs } = await readStoredImage(content, target);
  return { name, target, blobs: await Promise.all([...blobs.keys()].map(digest => content.bytes(digest))) };
}

/** `docker load` into an engine that has nothing else. */
async function loadImage(root: string, { name, target, blobs }: SavedImage): Promise<void> {
  mkdirSync(root, { recursive: true });
  using database = openDatabase(root);
  const content = openContentStore(rootLayout(root).content);
  for (const bytes of blobs) await content.write(bytes);
  openImageStore(database).put(name, target);
}
