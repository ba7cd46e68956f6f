import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findRange } from './rootless.ts';

const USER = 65534;
const BUSYBOX = '/bin/busybox';
const AS_USER = [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'];

it("finds a user's range", () => {
  const text = 'other:1:1\nme:100000:65536\n1000:7:8\n';
  assert.deepEqual(findRange(text, 'me', 1), { start: 100000, count: 65536 });
  assert.deepEqual(findRange(text, 'x', 1000), { start: 7, count: 8 });
  assert.equal(findRange(text, 'x', 1), undefined);
});

function works(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args).status === 0;
}

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, to become an ordinary user';
  if (!existsSync(BUSYBOX)) return 'needs busybox (static)';
  if (!['crun', 'runc'].some(name => works(name, ['--version']))) return 'needs crun or runc';
  if (!works('setpriv', [...AS_USER, 'test', '-r', fileURLToPath(import.meta.url)]))
    return 'this checkout is not readable by others';
  return works('setpriv', [...AS_USER, 'unshare', '--user', '--map-root-user', 'true'])
    ? false
    : 'no user namespaces for ordinary users';
}

describe('rootless steps', { skip: missing() }, () => {
  let place = '';
  let script = '';

  before(() => {
    place = mkdtempSync(join(tmpdir(), 'rootless-'));
    for (const name of ['base/bin', 'base/etc', 'upper', 'work', 'root'])
      mkdirSync(join(place, name), { recursive: true });
    copyFileSync(BUSYBOX, join(place, 'base/bin/busybox'));
    for (const applet of ['sh', 'id', 'touch', 'chown', 'rm', 'stat', 'cat'])
      symlinkSync('busybox', join(place, 'base/bin', applet));
    writeFileSync(join(place, 'base/gone'), '');
    for (const name of ['.', 'base', 'base/bin', 'base/etc', 'base/gone', 'upper', 'work', 'root'])
      chownSync(join(place, name), USER, USER);
    chmodSync(place, 0o755);
    script = join(place, 'script.ts');
    const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    writeFileSync(
      script,
      `import { needsRootless, runRootless } from ${module('./rootless.ts')};
      if (needsRootless()) process.exit(await runRootless());
      const { enterPrivateMountNamespace } = await import(${module('../system/namespace.ts')});
      const { mountOverlay } = await import(${module('../system/overlay.ts')});
      const { createRuntime } = await import(${module('./runtime.ts')});
      enterPrivateMountNamespace();
      const at = name => ${JSON.stringify(place)} + '/' + name;
      mountOverlay({ lower: [at('base')], upper: at('upper'), work: at('work'), target: at('root') });
      await using runtime = createRuntime({ stateDir: at('state') });
      const write = chunk => process.stdout.write(chunk);
      const mounts = [{ kind: 'secret', target: '/run/secrets/s', data: Buffer.from('secret ') }];
      await runtime.run({
        rootfs: at('root'), mounts, network: 'none', security: 'sandbox', stdout: write, stderr: write,
        meta: { args: ['/bin/sh', '-c', process.env.STEP], env: ['PATH=/bin'], cwd: '/', removeMountStubsRecursive: true },
      });
      process.exit(3);`,
    );
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  function run(step: string, prefix: readonly string[]): { readonly status: number | null; readonly output: string } {
    const [program = '', ...args] = [...prefix, 'setpriv', ...AS_USER, process.execPath, script];
    const env = { PATH: process.env['PATH'], HOME: place, STEP: step };
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
    return { status, output: stdout + stderr };
  }

  it('run with root as the only user', () => {
    const subid = join(place, 'none');
    writeFileSync(subid, '');
    const { status, output } = run(
      'id -u; cat /run/secrets/s; rm /gone; touch /made; stat -c %u /made',
      withRanges(subid),
    );
    assert.equal(output, '0\nsecret 0\n');
    assert.equal(status, 3, 'the exit code of the inner process');
  });

  it('run with a range of users', {
    skip: works('newuidmap', []) || existsSync('/usr/bin/newuidmap') ? false : 'needs newuidmap (uidmap)',
  }, () => {
    const subid = join(place, 'subid');
    writeFileSync(subid, `${USER}:200000:65536\n`);
    for (const name of ['upper', 'work']) {
      rmSync(join(place, name), { recursive: true, force: true });
      mkdirSync(join(place, name));
      chownSync(join(place, name), USER, USER);
    }
    const { status, output } = run('touch /f; chown 1:2 /f; stat -c "%u %g" /f', withRanges(subid));
    assert.equal(output, '1 2\n');
    assert.equal(status, 3);
  });

  /** Runs with other range files, seen by this command only. */
  function withRanges(file: string): string[] {
    const bind = `mount --bind ${file} /etc/subuid && mount --bind ${file} /etc/subgid && exec "$@"`;
    return ['unshare', '--mount', 'sh', '-c', existsSync('/etc/subuid') ? bind : 'exec "$@"', 'sh'];
  }
});
