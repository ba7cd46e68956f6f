/** An ordinary user builds: in a user namespace, with a store of their own. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BASE_IMAGES } from '../support/base-image.ts';
import { MAIN } from '../support/cli.ts';

const NOBODY = 65534;
const asNobody = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];

/** Why it cannot be tried here, if it cannot. */
function obstacle(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to become another user';
  const namespace = spawnSync('setpriv', [...asNobody, 'unshare', '--user', '--map-root-user', '--mount', 'true']);
  if (namespace.status !== 0) return 'user namespaces are not allowed here';
  const readable = spawnSync('setpriv', [...asNobody, process.execPath, '--check', MAIN]);
  return readable.status === 0 ? false : 'this checkout or its Node cannot be read by other users';
}

test('COPY and RUN as an ordinary user, and all cached the second time', { skip: obstacle() }, async () => {
  const work = mkdtempSync(join(tmpdir(), 'outcrop-rootless-'));
  try {
    const context = join(work, 'context');
    for (const dir of ['context', 'home', 'run']) mkdirSync(join(work, dir));
    cpSync(BASE_IMAGES, join(work, 'base'), { recursive: true });
    writeFileSync(join(context, 'a'), 'a\n');
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY a /a\nRUN id -u && cat /a > /b && rm /a\n');
    for (const dir of ['.', 'context', 'home', 'run']) chownSync(join(work, dir), NOBODY, NOBODY);
    const env = { PATH: process.env['PATH'], HOME: join(work, 'home'), XDG_RUNTIME_DIR: join(work, 'run') };
    const args = [
      'build',
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${join(work, 'base')}:latest`,
      '-t',
      'mine',
      context,
    ];
    const first = await run([...asNobody, process.execPath, MAIN, ...args], env);
    assert.match(first, /#\d+ [\d.]+ 0\n/, 'the step sees itself as root');
    const second = await run([...asNobody, process.execPath, MAIN, ...args], env);
    assert.equal(second.match(/ CACHED$/gm)?.length, 2, second);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((done, failed) => {
    execFile('setpriv', args, { env }, (error, _, stderr) =>
      error ? failed(new Error(stderr, { cause: error })) : done(stderr),
    );
  });
}
