/** `outcrop verify`: what cache mounts do to results. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VerifyReport } from '../../src/entry/builder/embedded-verify.ts';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { workDirectory } from '../support/work-directory.ts';

const work = workDirectory('verify');
const root = join(work, 'root');
let count = 0;

async function run(command: 'build' | 'verify', dockerfile: string, args: readonly string[] = []) {
  const dir = join(work, `context-${++count}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'Dockerfile'), dockerfile);
  const base = ['--build-context', baseContext()];
  const { code, stdout, stderr } = await outcrop([command, '--progress=plain', ...base, ...args, dir], { root });
  return { code, stdout: stdout.toString(), stderr };
}

async function verify(dockerfile: string) {
  const { code, stdout, stderr } = await run('verify', dockerfile, ['--json']);
  assert.notEqual(stdout, '', stderr);
  return { code, stderr, report: JSON.parse(stdout) as VerifyReport };
}

/** Copies a file out of its cache mount when there is one, and changes others with it. */
const LEAKY = `FROM base AS made
RUN echo below > /below
RUN --mount=type=cache,id=leaky,target=/c <<EOF
mkdir /out /out/same
if [ -e /c/kept ]; then cp /c/kept /out/kept; chmod 600 /out/same; chown 7:8 /out/same; echo filled > /out/text; ln -s b /out/link
else echo empty! > /out/text; ln -s a /out/link; touch /out/only-cold; fi
echo more >> /c/kept
EOF
FROM scratch
COPY --from=made /below /out /
`;

test('every file that a cache mount changes is reported, and nothing is kept', async () => {
  const built = await run('build', LEAKY, ['--output', join(work, 'out')]);
  assert.equal(built.code, 0, built.stderr);
  const mounts = (await outcrop(['mounts', 'ls', '--json'], { root })).stdout.toString();
  const { code, report, stderr } = await verify(LEAKY);
  assert.equal(code, 1, stderr);
  assert.deepEqual(
    report.mounts.map(({ id, target, wasFilled }) => ({ id, target, wasFilled })),
    [{ id: '/leaky', target: '/c', wasFilled: true }],
  );
  assert.deepEqual(
    report.differences.map(({ path, first, second, aspects, isUnsteady }) => [
      path,
      first?.type,
      second?.type,
      aspects.join(' '),
      isUnsteady,
    ]),
    [
      ['/kept', undefined, 'file', '', false],
      ['/link', 'symlink', 'symlink', 'target', false],
      ['/only-cold', 'file', undefined, '', false],
      ['/same', 'dir', 'dir', 'mode owner', false],
      ['/text', 'file', 'file', 'content', false],
    ],
  );
  // What did not stand on the mount came from the cache, in both builds.
  assert.equal(stderr.match(/RUN echo below[^\n]*\n#\d+ CACHED/g)?.length, 3, stderr);
  assert.equal((await outcrop(['mounts', 'ls', '--json'], { root })).stdout.toString(), mounts);
  assert.deepEqual(readdirSync(join(root, 'cold-mounts')), []);
  // The result that the cache has is still that of the build.
  const again = await run('build', LEAKY, ['--output', join(work, 'again')]);
  assert.match(again.stderr, /COPY --from=made[^\n]*\n#\d+ CACHED/);
  assert.deepEqual(readdirSync(join(work, 'again')).sort(), readdirSync(join(work, 'out')).sort());
});

test('without a mount on this machine the second build gets what the first one left', async () => {
  const text = await run('verify', LEAKY.replaceAll('id=leaky', 'id=fresh'));
  assert.equal(text.code, 1, text.stderr);
  assert.match(text.stdout, /cache mount \/c \(\/fresh\): filled\n/);
  assert.match(text.stdout, /5 files differ because of what is in the cache mounts:\n {2}\/kept: only with filled/);
  assert.match(text.stdout, / {2}\/same: mode 0755 → 0600, owner 0:0 → 7:8\n/);
});

test('a step that only uses its mount to be faster is clean', async () => {
  const { code, report, stderr } = await verify(
    'FROM base\nRUN : new below\nRUN --mount=type=cache,target=/c cat /c/x 2>/dev/null; echo x > /c/x; echo result > /result\n',
  );
  assert.equal(code, 0, stderr);
  // The step below ran once, for the first build.
  assert.deepEqual(
    [...stderr.matchAll(/RUN : new below[^\n]*\n#\d+ (DONE|CACHED)/g)].map(match => match[1]),
    ['DONE', 'CACHED'],
  );
  assert.deepEqual([report.mounts.length, report.differences], [1, []]);
});

test('what differs from build to build is told apart', async () => {
  const { code, report } = await verify(
    'FROM base\nRUN --mount=type=cache,target=/c cat /proc/sys/kernel/random/uuid > /random; ls /c > /listed; touch /c/x\n',
  );
  assert.equal(code, 1);
  assert.deepEqual(
    report.differences.map(({ path, isUnsteady }) => [path, isUnsteady]),
    [
      ['/listed', false],
      ['/random', true],
    ],
  );
});

test('a build without cache mounts has nothing to compare', async () => {
  const { code, stdout } = await run('verify', 'FROM base\nRUN true\n');
  assert.equal(code, 0);
  assert.equal(stdout, 'No step of this build has a cache mount: there is nothing to compare.\n');
  const failed = await run('verify', 'FROM base\nRUN --mount=type=cache,target=/c false\n');
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /ERROR: failed to build/);
});
