/** What a step that ignores the cache finds in its cache mounts, here and on a daemon, and who sees what it made. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempDisposableSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { startDaemon } from '../support/daemon.ts';

const DOCKERFILE = `FROM base AS one
ARG N
RUN --mount=type=cache,id=own,target=/c echo $N > /c/$N && ls /c > /own
RUN --mount=type=cache,id=seeded,target=/c,mode=0773 touch /c/$N && ls /c > /seeded
RUN --mount=type=cache,id=own,target=/d ls /d > /later
FROM base AS two
ARG N
RUN --mount=type=cache,id=other,target=/c echo $N > /c/$N && ls /c > /other
FROM scratch
COPY --from=one /own /seeded /later /
COPY --from=two /other /
`;

const SECRET = `FROM base AS fetched
RUN --mount=type=secret,id=s cat /run/secrets/s > /got
FROM base AS copied
COPY --from=fetched /got /
FROM copied
RUN cat /got > /read
`;

test('what it makes is what later steps get, also when it makes again what it made before', async () => {
  using work = mkdtempDisposableSync(join(tmpdir(), 'outcrop-no-cache-'));
  const context = join(work.path, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), SECRET);
  const build = async (secret: string, ...more: string[]) => {
    const out = join(work.path, 'out');
    rmSync(out, { recursive: true, force: true });
    writeFileSync(join(work.path, 'secret'), secret);
    const all = ['--build-context', baseContext(), '--secret', `id=s,src=${join(work.path, 'secret')}`];
    const { code, stderr } = await outcrop(['build', '--progress=plain', ...all, ...more, '-o', out, context], {
      root: join(work.path, 'root'),
    });
    assert.equal(code, 0, stderr);
    return ['got', 'read'].map(name => (existsSync(join(out, name)) ? readFileSync(join(out, name), 'utf8') : ''));
  };
  const again = ['--no-cache-filter', 'fetched'];
  assert.deepEqual(await build('a'), ['a', 'a']);
  assert.deepEqual(await build('b', ...again), ['b', 'b']);
  assert.deepEqual(await build('a', ...again), ['a', 'a']);
  assert.deepEqual(await build('whatever'), ['a', 'a']);
  // A build that ends before the later steps have been made of it.
  await build('b', ...again, '--target', 'fetched');
  assert.deepEqual(await build('whatever'), ['b', 'b']);
});

test('it finds them empty, as the steps of one build left them, and so does nobody else', async () => {
  using work = mkdtempDisposableSync(join(tmpdir(), 'outcrop-no-cache-'));
  await using daemon = await startDaemon();
  const context = join(work.path, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), DOCKERFILE);
  for (const flags of [[], ['--builder', daemon.address]]) {
    const out = join(work.path, `out-${flags.length}`);
    const build = async (n: string, ...more: string[]) => {
      const all = [...flags, '--build-context', baseContext(), '--build-arg', `N=${n}`];
      const { code, stderr } = await outcrop(['build', '--progress=plain', ...all, ...more, '-o', out, context], {
        root: join(work.path, 'root'),
      });
      assert.equal(code, 0, stderr);
      return Object.fromEntries(
        ['own', 'seeded', 'later', 'other'].map(name => [
          name,
          readFileSync(join(out, name), 'utf8').trim().replaceAll('\n', ' '),
        ]),
      );
    };
    assert.deepEqual(await build('a'), { own: 'a', seeded: 'a', later: 'a', other: 'a' });
    assert.deepEqual(await build('b'), { own: 'a b', seeded: 'a b', later: 'a b', other: 'a b' });
    const filtered = await build('c', '--no-cache-filter', 'one');
    assert.deepEqual(filtered, { own: 'c', seeded: 'c', later: 'c', other: 'a b c' });
    assert.deepEqual(await build('d', '--no-cache'), { own: 'd', seeded: 'd', later: 'd', other: 'd' });
  }
});
