import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { UnmountFlag, unmount } from '../system/mount.ts';
import { enterPrivateMountNamespace } from '../system/namespace.ts';
import { mountOverlay } from '../system/overlay.ts';
import { ExitError } from './exit-error.ts';
import { createRuntime, type Runtime, type Step, type StepControl } from './runtime.ts';
import type { StepMeta } from './step.ts';

const BUSYBOX = '/bin/busybox';
const APPLETS =
  'sh true cat echo id env ls stat touch mknod mount sleep mkdir ln chmod hostname unshare rm kill dd tr nc stty';

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync(BUSYBOX)) return 'needs busybox (static)';
  return ['crun', 'runc'].some(installed) ? false : 'needs crun or runc';
}

function installed(name: string): boolean {
  return spawnSync(name, ['--version']).status === 0;
}

type Change = Omit<Partial<Step>, 'meta'> & { readonly meta?: Partial<StepMeta> };

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly error: unknown;
  /** What the step left in the writable layer. */
  readonly upper: string;
}

for (const command of ['crun', 'runc']) {
  const skip = missing() || (installed(command) ? false : `${command} is not installed`);
  describe(`steps under ${command}`, { skip }, () => {
    let place = '';
    let base = '';
    let runtime: Runtime;
    let count = 0;

    before(() => {
      enterPrivateMountNamespace();
      place = mkdtempSync(join(tmpdir(), 'runtime-'));
      base = join(place, 'base');
      for (const name of ['bin', 'etc', 'tmp', 'home/app', 'proc', 'sys', 'dev']) {
        mkdirSync(join(base, name), { recursive: true });
      }
      copyFileSync(BUSYBOX, join(base, 'bin/busybox'));
      for (const applet of APPLETS.split(' ')) symlinkSync('busybox', join(base, 'bin', applet));
      writeFileSync(join(base, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\napp:x:1001:2002::/home/app:/bin/sh\n');
      writeFileSync(join(base, 'etc/group'), 'root:x:0:\nfive:x:5:app\nsix:x:6:x,app\n');
      runtime = createRuntime({ stateDir: join(place, 'state'), command });
    });

    after(async () => {
      await runtime[Symbol.asyncDispose]();
      for (const controller of readdirSync('/sys/fs/cgroup')) {
        spawnSync('rmdir', ['-p', `${controller}/outcrop-test/buildkit`], { cwd: '/sys/fs/cgroup' });
      }
      rmSync(place, { recursive: true, force: true });
    });

    async function run(script: string | readonly string[], change: Change = {}): Promise<Outcome> {
      count += 1;
      const directories = ['upper', 'work', 'root'].map(name => join(place, String(count), name));
      const [upper = '', work = '', rootfs = ''] = directories;
      for (const directory of directories) mkdirSync(directory, { recursive: true });
      mountOverlay({ lower: [base], upper, work, target: rootfs, volatile: true });
      const output = { stdout: '', stderr: '' };
      let error: unknown;
      try {
        await runtime.run({
          rootfs,
          mounts: [],
          network: 'default',
          security: 'sandbox',
          stdout: chunk => {
            output.stdout += Buffer.from(chunk).toString();
          },
          stderr: chunk => {
            output.stderr += Buffer.from(chunk).toString();
          },
          ...change,
          meta: {
            args: typeof script === 'string' ? ['/bin/sh', '-c', script] : script,
            env: ['PATH=/bin'],
            cwd: '/',
            removeMountStubsRecursive: true,
            ...change.meta,
          },
        });
      } catch (thrown) {
        error = thrown;
      } finally {
        unmount(rootfs, UnmountFlag.detach);
      }
      return { ...output, error, upper };
    }

    async function say(script: string, change: Change = {}): Promise<string> {
      const outcome = await run(script, change);
      assert.equal(outcome.error, undefined, outcome.stderr);
      return outcome.stdout;
    }

    it('see the sandbox that BuildKit makes', async () => {
      const status = await say(
        "cat /proc/self/status; umask; echo pid $$; tr '\\0' '\\n' < /proc/self/environ; hostname",
      );
      for (const set of ['CapPrm', 'CapEff', 'CapBnd']) assert.match(status, new RegExp(`${set}:\\t00000000a80425fb`));
      for (const set of ['CapInh', 'CapAmb']) assert.match(status, new RegExp(`${set}:\\t0000000000000000`));
      assert.match(status, /NoNewPrivs:\t0/);
      assert.match(status, /Seccomp:\t2/);
      assert.match(status, /^0022$/m);
      assert.match(status, /^pid 1$/m);
      assert.match(status, /PATH=\/bin\nHOME=\/root\n/);
      assert.match(status, /^buildkitsandbox$/m);
    });

    it('see the mounts that BuildKit makes', async () => {
      const mounts = (await say('cat /proc/self/mountinfo')).split('\n').map(line => line.split(' '));
      const seen = new Map(mounts.map(words => [words[4], words[5]]));
      assert.equal(seen.get('/proc'), 'rw,nosuid,nodev,noexec,relatime');
      assert.equal(seen.get('/dev'), 'rw,nosuid');
      assert.equal(seen.get('/dev/shm'), 'rw,nosuid,nodev,noexec,relatime');
      assert.equal(seen.get('/sys'), 'ro,nosuid,nodev,noexec,relatime');
      assert.match(seen.get('/etc/hosts') ?? '', /^ro,nosuid,nodev,noexec/);
      assert.match(seen.get('/etc/resolv.conf') ?? '', /^ro,nosuid,nodev,noexec/);
      for (const path of ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys']) {
        assert.match(seen.get(path) ?? '', /^ro,/, path);
      }
      assert.ok(seen.has('/proc/keys') && seen.has('/sys/firmware'));
      assert.ok(!seen.has('/run'));
      const devices = (await say('ls /dev')).split('\n');
      for (const name of ['full', 'null', 'ptmx', 'random', 'tty', 'urandom', 'zero', 'fd', 'stdin']) {
        assert.ok(devices.includes(name), name);
      }
      assert.ok(!devices.includes('console'));
    });

    it('get what devices bring along', async () => {
      const shared = join(place, 'shared');
      writeFileSync(shared, 'from the machine\n');
      const marker = join(place, `hook-${command}`);
      const devices = {
        env: ['GIVEN=1', 'PATH=/bin:/more'],
        deviceNodes: [
          { path: '/dev/nothing', hostPath: '/dev/zero', permissions: 'rw' },
          { path: '/dev/deep/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o604, gid: 7 },
        ],
        netDevices: [],
        hooks: [{ hookName: 'createRuntime', path: '/bin/busybox', args: ['touch', marker] }],
        mounts: [{ hostPath: shared, containerPath: '/etc/given', options: ['ro', 'bind'] }],
        additionalGids: [0, 77],
      };
      const said = await say(
        `echo $GIVEN $PATH; dd if=/dev/nothing bs=4 count=1 2>/dev/null | tr '\\0' z; echo; id -G
         stat -c '%t %T %a %u %g' /dev/nothing /dev/deep/fuse; cat /etc/given
         (exec 3</dev/deep/fuse) 2>/dev/null; echo fuse $?; touch /etc/given 2>/dev/null || echo read-only`,
        { devices },
      );
      const mode = (statSync('/dev/zero').mode & 0o7777).toString(8);
      assert.equal(
        said,
        `1 /bin:/more\nzzzz\n0 77\n1 5 ${mode} 0 0\na e5 604 0 7\nfrom the machine\nfuse 0\nread-only\n`,
      );
      assert.ok(existsSync(marker));
      const missing = await run('true', { devices: { ...devices, deviceNodes: [{ path: '/dev/not-there' }] } });
      assert.match(String(missing.error), /failed to stat CDI host device "\/dev\/not-there": ENOENT/);
    });

    it('are kept from the machine', async () => {
      const tried = await say(
        `mount -t tmpfs x /tmp 2>/dev/null; echo mount $?
         unshare -m true 2>/dev/null; echo unshare $?
         echo 1 2>/dev/null > /proc/sys/kernel/panic || echo sysctl failed
         mknod /tmp/kmsg c 1 11; echo mknod $?
         dd if=/tmp/kmsg of=/dev/null count=1 2>/dev/null; echo kmsg $?
         mknod /tmp/null c 1 3 && echo x > /tmp/null; echo null $?
         echo 2>/dev/null > /etc/hosts || echo hosts failed`,
      );
      assert.equal(
        tried.replaceAll(/mount [1-9]\d*/g, 'mount failed'),
        'mount failed\nunshare 1\nsysctl failed\nmknod 0\nkmsg 1\nnull 0\nhosts failed\n',
      );
    });

    it('have real pipes for output and an empty input', async () => {
      const outcome = await run('cat; echo out > /dev/stdout; echo err > /dev/stderr; [ -t 0 ] || echo no terminal');
      assert.deepEqual([outcome.stdout, outcome.stderr], ['out\nno terminal\n', 'err\n']);
      const big = await say('dd if=/dev/zero bs=1024 count=3000 2>/dev/null | tr "\\0" x');
      assert.equal(big.length, 3_072_000);
    });

    it('end with exit codes and signals', async () => {
      for (const [script, code] of [
        ['exit 3', 3],
        ['exit 300', 44],
        ['nosuchprogram', 127],
        ['kill -9 $$; exit 7', 7],
        ['(kill -9 $(cat /proc/self/stat | { read p _; echo $p; })); exit 9', 9],
      ] as const) {
        const { error } = await run(script);
        assert.ok(error instanceof ExitError, script);
        assert.deepEqual([error.exitCode, error.message], [code, `exit code: ${code}`]);
      }
      const { error } = await run('exit 5', { meta: { validExitCodes: [0, 5] } });
      assert.equal(error, undefined);
      const zero = await run('exit 0', { meta: { validExitCodes: [5] } });
      assert.ok(zero.error instanceof ExitError);
    });

    it('say why a program cannot be started', async () => {
      const start = `${command} run failed: unable to start container process: `;
      writeFileSync(join(base, 'bin/noexec'), '');
      writeFileSync(join(base, 'bin/junk'), 'junk', { mode: 0o755 });
      for (const [program, text] of [
        ['/nope', `${start}exec: "/nope": stat /nope: no such file or directory\n`],
        ['nope', `${start}exec: "nope": executable file not found in $PATH\n`],
        ['/bin/noexec', `${start}exec: "/bin/noexec": permission denied\n`],
        ['/etc', `${start}exec: "/etc": permission denied\n`],
        ['/bin/junk', 'exec /bin/junk: exec format error\n'],
      ] as const) {
        const { error, stderr } = await run([program]);
        assert.ok(error instanceof ExitError && error.exitCode === 1, program);
        assert.equal(stderr, text);
      }
    });

    it('run as the user that the root knows', async () => {
      assert.equal(
        await say('id -u; id -g; id -G; echo $HOME', { meta: { user: 'app' } }),
        '1001\n2002\n2002 5 6\n/home/app\n',
      );
      assert.equal(await say('id -u; id -G; echo $HOME', { meta: { user: '1234:77' } }), '1234\n77\n/\n');
      assert.equal(await say('echo $HOME', { meta: { env: ['PATH=/bin', 'HOME=/x'] } }), '/x\n');
      const { error } = await run('true', { meta: { user: 'nosuch' } });
      assert.match(String(error), /unable to find user nosuch: no matching entries in passwd file/);
    });

    it('get hosts, a host name and limits', async () => {
      const seen = await say('cat /etc/hosts; hostname; ulimit -n', {
        meta: {
          hostname: 'other',
          extraHosts: [{ host: 'a.example', ip: '10.0.0.1' }],
          ulimits: [{ name: 'nofile', soft: 100, hard: 200 }],
        },
      });
      assert.equal(
        seen,
        '127.0.0.1\tlocalhost other\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\ta.example\nother\n100\n',
      );
    });

    it('find their working directory, made if missing', async () => {
      const made = await run('touch x', { meta: { cwd: '/made/here', user: '1001:50' } });
      assert.equal(made.error, undefined, made.stderr);
      const { uid, gid, mode } = statSync(join(made.upper, 'made'));
      assert.deepEqual([uid, gid, mode & 0o777], [1001, 50, 0o755]);
      assert.ok(existsSync(join(made.upper, 'made/here/x')));
      const file = await run('true', { meta: { cwd: '/etc/passwd' } });
      assert.match(file.stderr, /error during container init: mkdir \/etc\/passwd: not a directory/);
      const below = await run('true', { meta: { cwd: '/etc/passwd/x' } });
      assert.match(
        String(below.error),
        /^RuntimeError: working dir {2}points to invalid target: lstat .*\/etc\/passwd\/x: not a directory$/,
      );
    });

    it('get their mounts', async () => {
      const source = join(place, 'source');
      mkdirSync(join(source, 'sub'), { recursive: true });
      writeFileSync(join(source, 'sub/file'), 'content');
      symlinkSync('/etc', join(source, 'out'));
      mkdirSync(join(source, 'etc'));
      writeFileSync(join(source, 'etc/mine'), '');
      const { stdout, upper, error, stderr } = await run(
        `cat /bound/file; echo x 2>/dev/null > /bound/y || echo read-only
         echo kept > /cache/kept; ls /linked; cat /one/file/here
         stat -c '%a %u %g' /t /run/secrets/s /s2; cat /run/secrets/s; echo 2>/dev/null > /run/secrets/s || echo no
stat -c '%F %a %u' /agent`,
        {
          mounts: [
            { kind: 'bind', target: '/bound', source, selector: '/sub', readOnly: true },
            { kind: 'bind', target: '/cache', source },
            { kind: 'bind', target: '/linked', source, selector: 'out' },
            { kind: 'bind', target: '/one/file/here', source, selector: '/sub/file' },
            { kind: 'tmpfs', target: '/t', size: 1 << 20 },
            { kind: 'secret', target: '/run/secrets/s', data: Buffer.from('secret\n') },
            { kind: 'secret', target: '/s2', data: Buffer.from('2'), mode: 0o444, uid: 1000, gid: 5 },
            {
              kind: 'ssh',
              target: '/agent',
              agent: '/unused',
              mode: 0o660,
              uid: 7,
            },
          ],
        },
      );
      assert.equal(error, undefined, stderr);
      assert.equal(stdout, 'contentread-only\nmine\ncontent1777 0 0\n400 0 0\n444 1000 5\nsecret\nno\nsocket 660 7\n');
      assert.ok(existsSync(join(source, 'kept')));
      assert.deepEqual(readdirSync(upper), ['etc'], 'mount points are gone');
      assert.deepEqual(readdirSync(join(upper, 'etc')), []);
    });

    it('fail for a mount whose source is missing', async () => {
      const { error } = await run('true', {
        mounts: [{ kind: 'bind', target: '/m', source: place, selector: '/nope' }],
      });
      assert.match(String(error), /open \/nope: no such file or directory/);
    });

    it('keep what they wrote beside a mount', async () => {
      const { upper } = await run('echo x > /m/below/file', {
        mounts: [{ kind: 'tmpfs', target: '/m/below/deep' }],
      });
      assert.deepEqual(readdirSync(join(upper, 'm/below')), ['file']);
    });

    it('reach the agent through its socket', async t => {
      const agent = await echoServer(t, join(place, `echo-${command}`));
      const id = `agent${process.pid}`;
      const [instance = ''] = readdirSync(join(place, 'state')).filter(name => name.startsWith('run-'));
      let answer: Promise<string> | undefined;
      const { error, stderr } = await run('echo ready; sleep 0.3', {
        id,
        mounts: [{ kind: 'ssh', target: '/agent', agent }],
        stdout: () => {
          answer = ask(join(place, 'state', instance, 'memory', id, 'agent-0'), 'ping');
        },
      });
      assert.equal(error, undefined, stderr);
      assert.equal(await answer, 'ping');
    });

    it('see how large their terminal is, and tell how they ended in it', async () => {
      const seen = 'until [ "$(stty size)" = "$1" ]; do sleep 0.02; done';
      const script = `set -- "40 80"; ${seen}; echo large; set -- "60 100"; ${seen}; exit 99`;
      let tell: (rows: number, columns: number) => void = () => undefined;
      const started = Promise.withResolvers<StepControl>();
      const running = run(script, {
        signal: AbortSignal.timeout(60_000),
        stdout: chunk => {
          if (Buffer.from(chunk).toString().includes('large')) tell(60, 100);
        },
        interaction: { terminal: true, onStarted: started.resolve },
      });
      const control = await Promise.race([started.promise, running]);
      assert.ok('resize' in control);
      tell = control.resize;
      control.resize(40, 80);
      const { error } = await running;
      assert.ok(error instanceof ExitError, String(error));
      assert.equal(error.message, 'exit code: 99');
    });

    it('have the network they ask for', async () => {
      const devices = 'cat /proc/net/dev | { read _; read _; while read a _; do echo $a; done; }';
      assert.equal(await say(devices, { network: 'none' }), 'lo:\n');
      assert.equal(await say(devices), await say(devices, { network: 'host' }));
    });

    it('may do all that this process may when insecure', async () => {
      const seen = await say('mount -t tmpfs x /tmp && echo mounted; cat /proc/self/status; ls -l /dev/fuse', {
        security: 'insecure',
      }).catch(error => String(error));
      assert.match(seen, /mounted/);
      assert.match(seen, /Seccomp:\t0/);
      assert.match(seen, /crw-rw-rw-.*10, 229.*\/dev\/fuse/);
    });

    it('can be limited', async () => {
      const { error, stderr } = await run('cat /proc/self/cgroup', {
        id: `limited${process.pid}`,
        meta: {
          resources: { memory: 64 << 20, cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000 },
          cgroupParent: 'outcrop-test',
        },
      });
      assert.equal(error, undefined, stderr);
    });

    it('are killed when cancelled, with all that they started', async () => {
      const abort = new AbortController();
      const marker = `3${process.pid}7`;
      const running = run(`sleep ${marker} & sleep ${marker} & echo ready; sleep ${marker}`, {
        signal: abort.signal,
        stdout: () => abort.abort(new Error('stop')),
      });
      const { error } = await running;
      assert.ok(error instanceof ExitError);
      assert.equal(error.message, 'exit code: 137: context canceled');
      assert.equal(commandsWith(marker), 0);
      const early = new AbortController();
      setTimeout(() => early.abort(), 5);
      const outcome = await run(`sleep ${marker}`, { signal: early.signal });
      assert.ok(outcome.error !== undefined);
      assert.equal(commandsWith(marker), 0);
    });

    it('of a process that was killed are ended by the next one', async () => {
      const marker = `4${process.pid}8`;
      const stateDir = join(place, 'crash');
      const script = `
        const { enterPrivateMountNamespace } = await import(${JSON.stringify(new URL('../system/namespace.ts', import.meta.url).href)});
        const { createRuntime } = await import(${JSON.stringify(new URL('./runtime.ts', import.meta.url).href)});
        enterPrivateMountNamespace();
        const runtime = createRuntime({ stateDir: ${JSON.stringify(stateDir)}, command: '${command}' });
        await runtime.run({
          rootfs: ${JSON.stringify(base)}, mounts: [], network: 'host', security: 'sandbox', stderr() {},
          stdout() { process.kill(process.pid, 'SIGKILL'); },
          meta: { args: ['/bin/sh', '-c', 'echo ready; sleep ${marker}; true'], env: ['PATH=/bin'], cwd: '/', removeMountStubsRecursive: true },
        });`;
      const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      assert.equal(commandsWith(marker), 1);
      await using next = createRuntime({ stateDir, command });
      await next.prepare();
      for (let tries = 0; commandsWith(marker) > 0 && tries < 50; tries += 1) await delay(20);
      assert.equal(commandsWith(marker), 0);
      assert.equal(readdirSync(stateDir).filter(name => name.startsWith('run-')).length, 1);
    });

    it('run at the same time and leave nothing', async () => {
      const outputs = await Promise.all([1, 2, 3, 4].map(n => say(`echo ${n}`)));
      assert.deepEqual(outputs, ['1\n', '2\n', '3\n', '4\n']);
      const [instance = ''] = readdirSync(join(place, 'state')).filter(name => name.startsWith('run-'));
      assert.deepEqual(readdirSync(join(place, 'state', instance, 'state')), []);
      assert.ok(!readdirSync(join(place, 'state', instance, 'memory')).some(name => /^[0-9a-z]{25}$/.test(name)));
      assert.deepEqual(readdirSync(join(place, 'state', instance, 'memory', 'secrets')), []);
    });
  });
}

async function echoServer(t: TestContext, path: string): Promise<string> {
  const server = createServer(client => client.pipe(client));
  await new Promise<void>(resolve => server.listen(path, () => resolve()));
  t.after(() => server.close());
  return path;
}

function ask(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = connect(path, () => client.write(text));
    client.once('data', data => {
      client.destroy();
      resolve(data.toString());
    });
    client.once('error', reject);
  });
}

function commandsWith(marker: string): number {
  return readdirSync('/proc').filter(name => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return (
        readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`sleep\0${marker}`) &&
        lstatSync(`/proc/${name}`).isDirectory()
      );
    } catch {
      return false;
    }
  }).length;
}
