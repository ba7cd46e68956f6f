/** Docker's own programs drive the daemon: what their users type, unchanged, with `DOCKER_HOST` set. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

const hasDocker = spawnSync('docker', ['--version'], { stdio: 'ignore' }).status === 0;
const hasBuildx = hasDocker && spawnSync('docker', ['buildx', 'version'], { stdio: 'ignore' }).status === 0;
const skip = hasDocker ? false : 'docker is not installed';
const skipBuildx = skip || (hasBuildx ? false : 'the buildx plugin of docker is not installed');
const skipRegistry = skipBuildx || (hasRegistry() ? false : 'docker-registry is not installed');

let daemon: TestDaemon;
let registry: TestRegistry | undefined;
let work: string;

before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-docker-'));
  writeFileSync(join(work, 'greeting'), 'hello\n');
  writeFileSync(join(work, 'Dockerfile'), 'FROM scratch\nARG who=nobody\nLABEL who=$who\nCOPY greeting /greeting\n');
  daemon = await startDaemon();
  if (!skipRegistry) registry = await startRegistry();
});

after(async () => {
  if (skip) return;
  await registry?.[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function docker(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input?: string,
): Promise<Run> {
  const child = spawn('docker', args, {
    cwd: work,
    env: { ...process.env, DOCKER_HOST: daemon.address, DOCKER_CONTEXT: '', ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  child.stdin?.end(input);
  const code = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  return { code, stdout, stderr };
}

async function succeeds(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Run> {
  const run = await docker(args, env);
  assert.equal(run.code, 0, `docker ${args.join(' ')}\n${run.stdout}${run.stderr}`);
  return run;
}

test('docker finds an engine', { skip }, async () => {
  const { stdout } = await succeeds(['version', '--format', '{{.Server.APIVersion}} {{.Server.Os}}']);
  assert.equal(stdout.trim(), '1.50 linux');
  const info = await succeeds(['info', '--format', '{{.Driver}} {{.Containers}}']);
  assert.equal(info.stdout.trim(), 'overlayfs 0');
  assert.equal((await docker(['inspect', 'nothing'])).code, 1);
});

test('docker build --progress=plain -t my-api .', { skip: skipBuildx }, async () => {
  const { stderr } = await succeeds(['build', '--progress=plain', '--build-arg', 'who=me', '-t', 'my-api', '.']);
  assert.match(stderr, /^#\d+ \[1\/1\] COPY greeting \/greeting$/m);
  assert.match(stderr, /^#\d+ naming to docker\.io\/library\/my-api:latest/m);
  const { stdout } = await succeeds(['image', 'inspect', '--format', '{{.Config.Labels.who}} {{.RepoTags}}', 'my-api']);
  assert.equal(stdout.trim(), 'me [my-api:latest]');
});

test('DOCKER_BUILDKIT=0 docker build -t my-api .', { skip }, async () => {
  const { stdout } = await succeeds(['build', '-t', 'my-api', '.'], { DOCKER_BUILDKIT: '0' });
  assert.match(stdout, /^Step 4\/4 : COPY greeting \/greeting$/m);
  assert.match(stdout, /^Successfully built [0-9a-f]{12}\nSuccessfully tagged my-api:latest$/m);
  const again = await succeeds(['build', '-q', '.'], { DOCKER_BUILDKIT: '0' });
  const { stdout: id } = await succeeds(['image', 'inspect', '--format', '{{.Id}}', 'my-api']);
  assert.equal(again.stdout, id);
});

test('the legacy builder fails as docker did', { skip }, async () => {
  const broken = await docker(['build', '-f-', '.'], { DOCKER_BUILDKIT: '0' }, 'FROM scratch\nCOPY missing /\n');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /COPY failed: /);
  const refused = await docker(['build', '-f-', '.'], { DOCKER_BUILDKIT: '0' }, 'NOTHING here\n');
  assert.match(refused.stderr, /Error response from daemon: .*unknown instruction: NOTHING/s);
});

/** The legacy builder with a Dockerfile of its own. */
async function legacy(dockerfile: string, ...args: string[]): Promise<Run> {
  return docker(['build', ...args, '-f-', '.'], { DOCKER_BUILDKIT: '0' }, dockerfile);
}

test('the legacy builder runs the triggers of a base, and caches them', { skip }, async () => {
  const base = await legacy(
    'FROM scratch\nONBUILD COPY greeting /triggered\nONBUILD LABEL triggered=yes\n',
    '-t',
    'onb',
  );
  assert.equal(base.code, 0, base.stderr);
  const child = 'FROM onb\nLABEL own=1\n';
  const first = await legacy(child, '-t', 'child');
  assert.match(first.stdout, /^Step 1\/2 : FROM onb\n# Executing 2 build triggers\n/m);
  assert.doesNotMatch(first.stdout, /Using cache/);
  const again = await legacy(child);
  assert.equal(again.stdout.match(/^ ---> Using cache$/gm)?.length, 3, again.stdout);
  const { stdout } = await succeeds([
    'image',
    'inspect',
    '--format',
    '{{json .Config.Labels}} {{.Config.OnBuild}}',
    'child',
  ]);
  assert.equal(stdout.trim(), '{"own":"1","triggered":"yes"} []');
});

test('the legacy builder looks with --cache-from only where it is told', { skip }, async () => {
  const file = 'FROM scratch\nLABEL cached=1\nCOPY greeting /from-cache\n';
  const other = await legacy('FROM scratch\nLABEL other=1\n', '-t', 'other');
  const built = await legacy(file, '-t', 'cached');
  assert.equal([other.code, built.code].join(), '0,0', other.stderr + built.stderr);
  const uses = async (...args: string[]) =>
    (await legacy(file, ...args)).stdout.match(/^ ---> Using cache$/gm)?.length ?? 0;
  assert.equal(await uses(), 2);
  assert.equal(await uses('--cache-from', 'cached'), 2);
  assert.equal(await uses('--cache-from', 'other'), 0);
  assert.equal(await uses('--no-cache'), 0);
});

test('the legacy builder says what it does not know', { skip }, async () => {
  const hint = 'Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled';
  const refused: readonly (readonly [string, string])[] = [
    ['RUN --mount=type=cache,target=/c true', `the --mount option requires BuildKit. ${hint}`],
    ['COPY --chmod=600 greeting /', `the --chmod option requires BuildKit. ${hint}`],
    ['COPY --link greeting /', 'dockerfile parse error line 2: Unknown flag: link'],
    ['RUN --network=none true', 'dockerfile parse error line 2: Unknown flag: network'],
    ['RUN <<EOF\necho hi\nEOF', 'dockerfile parse error line 3: unknown instruction: ECHO'],
  ];
  for (const [instruction, message] of refused) {
    const { code, stderr } = await legacy(`FROM scratch\n${instruction}\n`);
    assert.equal(code, 1, instruction);
    assert.ok(stderr.includes(message), `${instruction}: ${stderr}`);
  }
});

test('DOCKER_BUILDKIT=1 docker build -t my-api .', { skip: skipBuildx }, async () => {
  const { stderr } = await succeeds(['build', '--progress=plain', '-t', 'my-api', '.'], { DOCKER_BUILDKIT: '1' });
  assert.match(stderr, /^#\d+ CACHED$/m);
});

test('images are listed, named, saved, removed and loaded', { skip: skipBuildx }, async () => {
  await succeeds(['build', '-t', 'one', '-t', 'two:2', '.']);
  await succeeds(['tag', 'one', 'example.com/three:3']);
  const list = await succeeds([
    'images',
    '--format',
    '{{.Repository}}:{{.Tag}}',
    '--filter',
    'reference=example.com/*',
  ]);
  assert.equal(list.stdout, 'example.com/three:3\n');
  const { stdout: id } = await succeeds(['image', 'inspect', '--format', '{{.Id}}', 'one']);
  const archive = join(work, 'saved.tar');
  await succeeds(['save', '-o', archive, 'one', 'two:2']);
  assert.equal((await docker(['rmi', id.trim()])).code, 1, 'an id with several names needs --force');
  await succeeds(['rmi', '--force', id.trim()]);
  assert.equal((await docker(['image', 'inspect', 'one'])).code, 1);
  const loaded = await succeeds(['load', '-i', archive]);
  assert.equal(loaded.stdout, 'Loaded image: one:latest\nLoaded image: two:2\n');
  assert.equal((await succeeds(['image', 'inspect', '--format', '{{.Id}}', 'two:2'])).stdout, id);
  const history = await succeeds(['history', '--no-trunc', '--format', '{{.CreatedBy}}', 'one']);
  assert.match(history.stdout, /^COPY greeting \/greeting # buildkit\n/);
  rmSync(archive);
});

test('an image without a name is kept until it is pruned', { skip: skipBuildx }, async () => {
  const file = join(work, 'id');
  await succeeds(['build', '--iidfile', file, '--build-arg', 'who=unnamed', '.']);
  const id = readFileSync(file, 'utf8').trim();
  const { stdout } = await succeeds(['image', 'inspect', '--format', '{{.RepoTags}}', id]);
  assert.equal(stdout.trim(), '[]');
  assert.match((await succeeds(['image', 'prune', '-f'])).stdout, /Total reclaimed space/);
  assert.equal((await docker(['image', 'inspect', id])).code, 1);
});

test('images go to a registry and come from one, with the caches of builds', { skip: skipRegistry }, async () => {
  const name = `${registry?.address}/my-api`;
  const inline = await succeeds(['build', '--build-arg', 'BUILDKIT_INLINE_CACHE=1', '-t', `${name}:1.4.0`, '.']);
  assert.match(inline.stderr, /preparing layers for inline cache|exporting to image/);
  await succeeds(['push', `${name}:1.4.0`]);
  const cache = `type=registry,ref=${name}:cache`;
  await succeeds(['buildx', 'build', `--cache-to=${cache}`, '--push', '-t', `${name}:1.4.0`, '.']);
  await succeeds(['builder', 'prune', '--all', '--force']);
  const again = await succeeds([
    'buildx',
    'build',
    '--progress=plain',
    `--cache-from=${cache}`,
    '-t',
    `${name}:1.4.0`,
    '.',
  ]);
  assert.match(again.stderr, /importing cache manifest from/);
  assert.match(again.stderr, /COPY greeting \/greeting\n#\d+ CACHED/);
  await succeeds(['rmi', `${name}:1.4.0`]);
  const pulled = await succeeds(['pull', `${name}:1.4.0`]);
  assert.match(pulled.stdout, /Status: Downloaded newer image/);
  assert.match((await succeeds(['pull', `${name}:1.4.0`])).stdout, /Status: Image is up to date/);
});

test('what builds leave is shown and pruned', { skip: skipBuildx }, async () => {
  await succeeds(['build', '.']);
  assert.match((await succeeds(['buildx', 'du'])).stdout, /^Total:\s+\d/m);
  assert.match((await succeeds(['system', 'df'])).stdout, /^Build Cache\s+[1-9]/m);
  assert.match((await succeeds(['buildx', 'history', 'ls'])).stdout, /Completed/);
  assert.match((await succeeds(['buildx', 'inspect'])).stdout, /^Status:\s+running$/m);
  const pruned = await succeeds(['builder', 'prune', '-af'], { DOCKER_BUILDKIT: '0' });
  assert.match(pruned.stdout, /Total reclaimed space: \d+/);
});
