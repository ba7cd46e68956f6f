/** Other people's programs read what each exporter writes, and run it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const missing = ['skopeo', 'umoci', 'runc'].filter(program => !has(program));
const skip =
  !hasRegistry() || missing.length > 0 ? `not installed: ${['docker-registry', ...missing].join(', ')}` : false;

let registry: TestRegistry;
let work: string;
let context: string;
let root: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-exporters-'));
  root = join(work, 'root');
  registry = await startRegistry();
  context = join(work, 'context');
  mkdirSync(join(context, 'dir'), { recursive: true });
  writeFileSync(join(context, 'dir/a.txt'), 'a\n');
  writeFileSync(
    join(context, 'Dockerfile'),
    'FROM base AS build\nRUN echo made > /made && ln -s made /link && chmod 4755 /made && mkdir /gone && rm -r /tmp\n' +
      'COPY dir /dir\nENV GREETING=hello\nCMD ["/bin/sh", "-c", "cat /made; echo $GREETING"]\nFROM scratch AS files\nCOPY --from=build /made /link /dir /out/\n',
  );
});
after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

async function build(...args: readonly string[]): Promise<string> {
  const { code, stderr, stdout } = await outcrop(
    ['build', '--progress=plain', '--build-context', baseContext(), '--target', 'build', ...args, context],
    { root },
  );
  assert.equal(code, 0, stderr);
  return stdout.toString();
}

function skopeoInspect(source: string): { Digest: string; Layers: string[]; Env: string[] } {
  return JSON.parse(execFileSync('skopeo', ['inspect', '--tls-verify=false', source], { encoding: 'utf8' })) as never;
}

/** Unpacks an OCI layout with umoci and runs its command with runc. */
function unpackAndRun(layout: string, tag: string): string {
  const bundle = mkdtempSync(join(work, 'bundle-'));
  execFileSync('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
  const config = join(bundle, 'config.json');
  const spec = JSON.parse(readFileSync(config, 'utf8')) as {
    process: { terminal: boolean };
    linux: { cgroupsPath?: string };
  };
  spec.process.terminal = false;
  writeFileSync(config, JSON.stringify(spec));
  return execFileSync('runc', ['run', '--bundle', bundle, `outcrop-test-${process.pid}-${Date.now()}`], {
    encoding: 'utf8',
  });
}

for (const compression of ['gzip', 'zstd', 'uncompressed'] as const) {
  test(`oci directory, ${compression}: skopeo inspects it${compression === 'zstd' ? '' : ', umoci unpacks it, runc runs it'}`, {
    skip,
  }, async () => {
    const dest = join(work, `layout-${compression}`);
    await build(
      '-t',
      'acme/app:1',
      '--output',
      `type=oci,tar=false,dest=${dest},compression=${compression},force-compression=true`,
    );
    assert.ok(skopeoInspect(`oci:${dest}:1`).Env.includes('GREETING=hello'));
    // This umoci knows no zstd.
    if (compression !== 'zstd') assert.equal(unpackAndRun(dest, '1'), 'made\nhello\n');
  });
}

test('oci and docker archives: skopeo reads both', { skip }, async () => {
  const oci = join(work, 'oci.tar');
  const docker = join(work, 'docker.tar');
  await build('-t', 'acme/app:1', '--output', `type=oci,dest=${oci}`, '--output', `type=docker,dest=${docker}`);
  const [first, second] = [skopeoInspect(`oci-archive:${oci}`), skopeoInspect(`docker-archive:${docker}`)];
  assert.equal(first.Layers.length, second.Layers.length);
  assert.ok(second.Env.includes('GREETING=hello'));
});

test('an archive on standard output', { skip }, async () => {
  const { code, stdout, stderr } = await outcrop(
    ['build', '--build-context', baseContext(), '--output', 'type=oci', context],
    { root },
  );
  assert.equal(code, 0, stderr);
  const archive = join(work, 'stdout.tar');
  writeFileSync(archive, stdout);
  assert.equal(skopeoInspect(`oci-archive:${archive}`).Layers.length, 1);
});

test('a directory and a tar hold the files, with modes, links and times', { skip }, async () => {
  const local = join(work, 'local');
  const tar = join(work, 'files.tar');
  await build('--target', 'files', '--output', local, '--output', `type=tar,dest=${tar}`);
  assert.equal(readFileSync(join(local, 'out/made'), 'utf8'), 'made\n');
  assert.equal(statSync(join(local, 'out/made')).mode & 0o7777, 0o4755);
  assert.equal(lstatSync(join(local, 'out/link')).isFile(), true, 'a link named as a source is followed');
  assert.deepEqual(readdirSync(join(local, 'out')).sort(), ['a.txt', 'link', 'made']);
  const listing = execFileSync('tar', ['-tvf', tar, '--numeric-owner'], { encoding: 'utf8' });
  assert.match(listing, /-rwsr-xr-x 0\/0 +5 .* out\/made/);
});

test('the local directory: other files stay, and go with mode=delete', { skip }, async () => {
  const local = join(work, 'mirror');
  mkdirSync(join(local, 'out'), { recursive: true });
  writeFileSync(join(local, 'out/other'), '');
  await build('--target', 'files', '--output', `type=local,dest=${local}`);
  assert.ok(existsSync(join(local, 'out/other')));
  await build('--target', 'files', '--output', `type=local,dest=${local},mode=delete`);
  assert.ok(!existsSync(join(local, 'out/other')));
});

test('push to a registry and pull from it round-trip', { skip }, async () => {
  const name = `${registry.address}/acme/pushed:1`;
  const metadata = join(work, 'push.json');
  await build('-t', name, '--push', '--provenance=false', '--metadata-file', metadata);
  const { 'containerimage.digest': digest } = JSON.parse(readFileSync(metadata, 'utf8')) as {
    'containerimage.digest': string;
  };
  assert.equal(skopeoInspect(`docker://${name}`).Digest, digest);
  const layout = join(work, 'pulled');
  execFileSync('skopeo', ['copy', '--src-tls-verify=false', `docker://${name}`, `oci:${layout}:1`]);
  assert.equal(unpackAndRun(layout, '1'), 'made\nhello\n');

  const child = join(work, 'child');
  mkdirSync(child);
  writeFileSync(join(child, 'Dockerfile'), `FROM ${name}\nRUN test -f /dir/a.txt && cat /made > /again\n`);
  const run = await outcrop(['build', '--progress=plain', '-t', 'child', child], { root: join(work, 'other-root') });
  assert.equal(run.code, 0, run.stderr);
});

test('a push with attestations makes an index that skopeo reads', { skip }, async () => {
  const name = `${registry.address}/acme/attested:1`;
  await build('-t', name, '--push');
  const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`], {
    encoding: 'utf8',
  });
  const { manifests } = JSON.parse(raw) as { manifests: { annotations?: Record<string, string> }[] };
  assert.equal(manifests[1]?.annotations?.['vnd.docker.reference.type'], 'attestation-manifest');
  assert.ok(skopeoInspect(`docker://${name}`).Env.includes('GREETING=hello'));
});

test('names, ids and the image list', { skip }, async () => {
  const iidfile = join(work, 'iid');
  const quiet = await outcrop(
    [
      'build',
      '-q',
      '--build-context',
      baseContext(),
      '-t',
      'one',
      '-t',
      'acme/two:3',
      '--iidfile',
      iidfile,
      '--target',
      'build',
      context,
    ],
    { root },
  );
  assert.equal(quiet.stderr, '');
  assert.equal(quiet.stdout.toString().trim(), readFileSync(iidfile, 'utf8'));
  const images = await outcrop(['images'], { root });
  assert.match(images.stdout.toString(), /^one\s+latest\s/m);
  assert.match(images.stdout.toString(), /^acme\/two\s+3\s/m);
});
