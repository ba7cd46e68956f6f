/** Cache mounts that travel with exported caches (moby/buildkit#1512). */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { baseContext } from '../support/base-image.ts';
import { outcrop, stepsOf, warningsOf } from '../support/cli.ts';
import { hasRegistry, startRegistry } from '../support/registry.ts';
import { workDirectory } from '../support/work-directory.ts';

const work = workDirectory('cache-mounts');
let count = 0;

/** Fills its mount, and prints what was in it; `note` is in its key. */
const dockerfile = (note: string) => `FROM base AS made
RUN --mount=type=cache,id=kept,target=/c --mount=type=cache,target=/owned,uid=7,mode=0750 --mount=type=secret,id=pin,target=/c/pin <<EOF
: ${note}
ls -ln /c | grep -v pin | awk '{print $1, $3, $4, $NF}' | sed 1d; ls -ldn /owned | awk '{print $1, $3}'; ls /owned
cat /c/pin > /dev/null
[ -e /c/dir ] || { mkdir /c/dir; echo text > /c/dir/file; ln /c/dir/file /c/link; ln -s dir/file /c/symlink; chown 5:6 /c/dir/file; chmod 4750 /c/dir/file; }
touch /owned/there
EOF
FROM scratch
COPY --from=made /etc/passwd /
`;

async function build(root: string, note: string, args: readonly string[] = []) {
  const dir = join(work, `context-${++count}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'Dockerfile'), dockerfile(note));
  writeFileSync(join(work, 'pin'), 'a-very-secret-pin');
  const base = ['--build-context', baseContext(), '--secret', `id=pin,src=${join(work, 'pin')}`];
  const { code, stderr } = await outcrop(['build', '--progress=rawjson', ...base, ...args, dir], {
    root: join(work, root),
  });
  assert.equal(code, 0, stderr.slice(-3000));
  const steps = stepsOf(stderr);
  const warnings = warningsOf(stderr);
  return { steps, warnings, printed: steps.map(({ output }) => output).join('') };
}

/** Where the mount of `/c` lies. */
async function pathOf(root: string): Promise<string> {
  const lines = (await outcrop(['mounts', 'ls', '--json'], { root: join(work, root) })).stdout.toString().split('\n');
  return JSON.parse(lines.find(line => line.includes('"/kept"')) ?? '{}').path;
}

const EMPTY = 'drwxr-x--- 7\n';
const FILLED = '-rwsr-x--- 5 6 link\ndrwxr-xr-x 0 0 dir\nlrwxrwxrwx 0 0 dir/file\ndrwxr-x--- 7\nthere\n';
const sorted = (text: string) => text.split('\n').sort();
const digestOf = (dir: string) => JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')).manifests[0].digest;
const restored = (steps: readonly { readonly name: string }[]) =>
  steps
    .map(({ name }) => name)
    .filter(name => name.startsWith('restoring'))
    .sort();

test('cache mounts travel with a directory, and fill empty ones only', async () => {
  const dir = join(work, 'cache');
  const to = ['--cache-to', `type=local,dest=${dir},mode=max,mounts=true`];
  const from = ['--cache-from', `type=local,src=${dir}`];
  assert.equal((await build('a', 'one', to)).printed, EMPTY);

  // A hit needs no mount, so none is fetched.
  const hit = await build('hit', 'one', from);
  assert.deepEqual([restored(hit.steps), existsSync(join(work, 'hit', 'cache-mounts'))], [[], false]);

  const filled = await build('b', 'two', from);
  assert.deepEqual(sorted(filled.printed), sorted(FILLED));
  assert.equal(restored(filled.steps).length, 2);
  const path = await pathOf('b');
  const original = `${await pathOf('a')}/dir/file`;
  const copy = statSync(join(path, 'dir/file'), { bigint: true });
  assert.deepEqual(
    [copy.mtimeNs, statSync(join(path, 'link'), { bigint: true }).ino],
    [statSync(original, { bigint: true }).mtimeNs, copy.ino],
  );

  // What has files stays as it is.
  writeFileSync(join(path, 'own'), '');
  assert.match((await build('b', 'three', from)).printed, /own\n/);

  // Nothing new: the same digest; a mount that has changed: another one.
  const before = digestOf(dir);
  await build('a', 'one', to);
  assert.equal(digestOf(dir), before);
  await build('a', 'one', ['--cache-to', `type=local,dest=${dir},mode=max`]);
  assert.equal(digestOf(dir), before);
  await build('b', 'one', to);
  assert.notEqual(digestOf(dir), before);

  const shown = (await outcrop(['cache', 'inspect', dir])).stdout.toString();
  assert.match(shown, /^Mounts: +2, /m);
  assert.match(shown, /^\/kept +\S+ +.* ago +cached mount \/c$/m);
  assert.equal((await outcrop(['cache', 'verify', dir])).code, 0);

  const blobs = readdirSync(join(dir, 'blobs', 'sha256')).map(name => readFileSync(join(dir, 'blobs', 'sha256', name)));
  const plain = blobs.map(bytes => (bytes.readUInt32LE() === 0xfd2fb528 ? zstdDecompressSync(bytes) : bytes));
  assert.ok(plain.some(bytes => bytes.includes('dir/file')));
  assert.ok(!plain.some(bytes => bytes.includes('a-very-secret-pin')));
});

test('a mount that cannot be had is empty, with a warning', async () => {
  const dir = join(work, 'damaged');
  await build('c', 'one', ['--cache-to', `type=local,dest=${dir},mode=max,mounts=true`]);
  const { mounts } = JSON.parse((await outcrop(['cache', 'inspect', '--json', dir])).stdout.toString());
  for (const { digest } of mounts) rmSync(join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  assert.equal((await outcrop(['cache', 'verify', dir])).code, 1);
  const { printed, warnings } = await build('d', 'two', ['--cache-from', `type=local,src=${dir}`]);
  assert.equal(printed, EMPTY);
  assert.equal(warnings.filter(text => /^cache mount \/(kept|\/owned): .*: it stays empty$/.test(text)).length, 2);
});

test('a registry keeps them, also as an index and when caches are merged', {
  skip: hasRegistry() ? false : 'docker-registry is not installed',
}, async () => {
  await using registry = await startRegistry();
  for (const [name, form] of [
    ['image', ''],
    ['index', ',image-manifest=false'],
  ]) {
    const ref = `${registry.address}/mounts:${name}`;
    await build('a', 'one', ['--cache-to', `type=registry,ref=${ref},mode=max,mounts=true${form}`]);
    await build('a', 'merged', ['--cache-to', `type=registry,ref=${ref},mode=max,merge=true${form}`]);
    const root = `registry-${name}`;
    assert.deepEqual(
      sorted((await build(root, 'two', ['--cache-from', `type=registry,ref=${ref}`])).printed),
      sorted(FILLED),
    );
    const both = await build(root, 'one', ['--cache-from', `type=registry,ref=${ref}`]);
    assert.equal(both.steps.find(({ name: step }) => step.includes('RUN'))?.cached, true);
  }
});
