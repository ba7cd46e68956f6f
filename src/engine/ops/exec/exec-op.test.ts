import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { writeFiles } from '../../../../test/support/write-files.ts';
import { openDevices } from '../../../host/cdi/devices.ts';
import { createRuntime, type Runtime } from '../../../host/runtime/runtime.ts';
import { enterPrivateMountNamespace } from '../../../host/system/namespace.ts';
import { CacheSharingOpt, ExecOpSchema, type MountSchema, MountType } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { openLocalContexts } from '../../source/local.ts';
import type { BuildEvent } from '../../status/event.ts';
import type { OpContext } from '../op-context.ts';
import { type Ref, scratch } from '../ref.ts';
import { type TestingStore, testingStore } from '../testing-store.ts';
import { openCacheMounts } from './cache-mount.ts';
import { ExecError } from './exec-error.ts';
import { runExecOp } from './exec-op.ts';
import { MissingSecretError } from './step-mounts.ts';

const LAYER = '67314d5d675033faa78796281e40a7429276ff543da10a3608f57809e328b663';
const blob = fileURLToPath(new URL(`../../../../test/vectors/base-image/blobs/sha256/${LAYER}`, import.meta.url));

describe('exec ops', { skip: process.getuid?.() === 0 ? false : 'needs root to mount' }, () => {
  let store: TestingStore;
  let base: Ref;
  let runtime: Runtime;
  let context: OpContext;
  const events: BuildEvent[] = [];
  const secrets = new Map([['token', Buffer.from('s3cret\n')]]);
  const agents = new Map<string, string>();

  before(async () => {
    enterPrivateMountNamespace();
    store = await testingStore();
    runtime = createRuntime({ stateDir: join(store.root, 'run') });
    base = await store.make(directory => execFileSync('tar', ['-xzf', blob, '-C', directory]));
    const unused = () => assert.fail('not for exec ops');
    context = {
      layers: store.layers,
      sources: { open: unused },
      runtime,
      cacheMounts: openCacheMounts(join(store.root, 'cache-mounts')),
      secrets: { get: async id => secrets.get(id) },
      ssh: { socket: async id => agents.get(id) },
      solve: unused,
      emit: event => events.push(event),
      platform: { os: 'linux', architecture: 'amd64' },
      entitlements: new Set(),
      devices: openDevices({ specDirs: [join(store.root, 'cdi')], autoAllowed: [] }),
      now: () => 7n,
    };
  });
  after(async () => {
    await runtime[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  const root: MessageInitShape<typeof MountSchema> = { dest: '/', output: 0n };

  interface Options {
    readonly mounts?: MessageInitShape<typeof MountSchema>[];
    readonly inputs?: readonly Ref[];
    readonly secretenv?: { ID: string; name: string; optional?: boolean }[];
    readonly signal?: AbortSignal;
    readonly validExitCodes?: number[];
    readonly keepsFailures?: boolean;
    readonly devices?: { name: string; optional?: boolean }[];
  }

  async function run(script: string, options: Options = {}): Promise<readonly Ref[]> {
    const { mounts = [], inputs = [], secretenv = [], signal = new AbortController().signal } = options;
    events.length = 0;
    const op = create(ExecOpSchema, {
      meta: {
        args: ['/bin/sh', '-c', script],
        cwd: '/',
        removeMountStubsRecursive: true,
        validExitCodes: options.validExitCodes ?? [],
      },
      mounts: [root, ...mounts],
      secretenv,
      cdiDevices: options.devices ?? [],
    });
    try {
      return await runExecOp(
        { op, platform: context.platform, resources: undefined, vertex: 'sha256:v' },
        [base, ...inputs],
        { ...context, keepsFailures: options.keepsFailures ?? false },
        signal,
      );
    } finally {
      assert.deepEqual(store.mounts(), []);
    }
  }

  /** The layer that a step has added. */
  function added(ref: Ref | undefined): string {
    return store.top(ref);
  }

  function output(stream: 1 | 2 = 1): string {
    const chunks = events.flatMap(event => (event.kind === 'log' && event.stream === stream ? [event.data] : []));
    return Buffer.concat(chunks).toString();
  }

  function layer(files: Record<string, string>): Promise<Ref> {
    return store.make(directory => writeFiles(directory, files));
  }

  const none = { input: -1n, output: -1n };

  test('a step gets the devices that it asks for', async () => {
    mkdirSync(join(store.root, 'cdi'));
    const devices = ['a', 'b'].map(name => ({ name, containerEdits: { env: [`GIVEN_${name}=1`] } }));
    const spec = { cdiVersion: '0.6.0', kind: 'vendor.com/device', devices };
    writeFileSync(join(store.root, 'cdi/devices.json'), JSON.stringify(spec));
    await run('env', { devices: [{ name: 'vendor.com/device=*' }, { name: 'other.com/device', optional: true }] });
    assert.match(output(), /^GIVEN_a=1\nGIVEN_b=1$/m);
    await run('env', { devices: [{ name: 'other.com/device', optional: true }] });
    assert.doesNotMatch(output(), /GIVEN/);
    await assert.rejects(
      run('true', { devices: [{ name: 'other.com/device' }] }),
      /^DeviceError: CDI device injection failed: required device "other.com\/device" is not registered$/,
    );
  });
  const cache = (
    id: string,
    sharing: CacheSharingOpt = CacheSharingOpt.SHARED,
  ): MessageInitShape<typeof MountSchema> => ({
    ...none,
    dest: '/cache',
    mountType: MountType.CACHE,
    cacheOpt: { ID: id, sharing },
  });

  test('what a step changes is a layer, what it prints are logs', async () => {
    const [ref] = await run('echo out; echo err >&2; mkdir /new; echo x > /new/f; rm /etc/group');
    assert.deepEqual(readdirSync(added(ref)).sort(), ['etc', 'new']);
    assert.ok(lstatSync(join(added(ref), 'etc/group')).isCharacterDevice());
    assert.equal(output(1), 'out\n');
    assert.equal(output(2), 'err\n');
    assert.deepEqual(
      events.map(event => ('vertex' in event ? event.vertex : '')).filter(vertex => vertex !== 'sha256:v'),
      [],
    );
  });

  test('a failing process fails the step with its exit code', async () => {
    await assert.rejects(run('exit 3'), (error: unknown) => {
      assert.ok(error instanceof ExecError);
      assert.equal(error.message, 'process "/bin/sh -c exit 3" did not complete successfully: exit code: 3');
      assert.equal(error.exitCode, 3);
      return true;
    });
    await run('exit 3', { validExitCodes: [0, 3] });
  });

  test('the files of a failed step are kept where that is asked for', async () => {
    const given = await layer({ old: 'given' });
    const mounts: Options['mounts'] = [
      { dest: '/rw', input: 1n, output: -1n },
      { dest: '/ro', input: 1n, output: -1n, readonly: true },
      { dest: '/memory', input: -1n, output: -1n, mountType: MountType.TMPFS },
    ];
    const fail = (keepsFailures: boolean) =>
      run('echo root > /left && echo mount > /rw/left && exit 3', { mounts, inputs: [given], keepsFailures }).then(
        () => assert.fail('it fails'),
        (error: unknown) => (error instanceof ExecError ? error : assert.fail(String(error))),
      );
    const { step } = await fail(true);
    assert.ok(step);
    assert.deepEqual(step.inputs, [base, given, given, undefined]);
    const [left, written, unwritten, memory] = step.mounts;
    assert.equal(readFileSync(join(added(left), 'left'), 'utf8'), 'root\n');
    assert.equal(readFileSync(join(added(written), 'left'), 'utf8'), 'mount\n');
    assert.deepEqual([unwritten, memory], [given, undefined]);
    assert.equal((await fail(false)).step, undefined);
  });

  test('binds show a part of an input, read-only or as a copy', async () => {
    const files = await layer({ 'src/a': 'a', 'other/b': 'b' });
    const bind = { input: 1n, output: -1n, selector: '/src', dest: '/m' };
    await run('cat /m/a; ls /m; touch /m/x', {
      inputs: [files],
      mounts: [{ ...bind, readonly: true }],
    }).then(
      () => assert.fail('the mount was writable'),
      () => assert.equal(output(), 'aa\n'),
    );
    const [ref, ...others] = await run('echo changed > /m/a; cat /m/a', { inputs: [files], mounts: [bind] });
    assert.equal(output(), 'changed\n');
    assert.equal(others.length, 0);
    assert.equal(existsSync(join(added(ref), 'm')), false);
    assert.equal(readFileSync(join(store.top(files), 'src/a'), 'utf8'), 'a');
  });

  test('a writable mount with an output is a second result', async () => {
    const files = await layer({ 'src/a': 'a' });
    const [, second] = await run('echo n > /m/new', {
      inputs: [files],
      mounts: [{ input: 1n, output: 1n, selector: '/src', dest: '/m' }],
    });
    assert.deepEqual(readdirSync(join(added(second), 'src')), ['new']);
    assert.ok(second?.kind === 'snapshot' && files.kind === 'snapshot' && second.layers[0] === files.layers[0]);
  });

  test('a missing source fails the step', async () => {
    await assert.rejects(
      run('true', {
        inputs: [await layer({ a: '' })],
        mounts: [{ input: 1n, output: -1n, selector: '/nope', dest: '/m' }],
      }),
      /^ExecError: process "\/bin\/sh -c true" did not complete successfully: open \/nope: no such file or directory$/,
    );
  });

  test('a build context is mounted as a copy that belongs to root', async () => {
    const directory = join(store.root, 'client');
    mkdirSync(directory);
    writeFileSync(join(directory, 'f'), 'context', { mode: 0o600 });
    writeFileSync(join(directory, 'ignored'), '');
    execFileSync('chown', ['-R', '123:456', directory]);
    const contents = openLocalContexts(join(store.root, 'state')).open(directory, { excludePatterns: ['ignored'] });
    await run('ls /m; stat -c "%u %g %a" /m/f', {
      inputs: [{ kind: 'local', name: 'context', contents }],
      mounts: [{ input: 1n, output: -1n, dest: '/m', readonly: true }],
    });
    assert.equal(output(), 'f\n0 0 600\n');
  });

  test('secrets are files and variables, and nothing of them stays', async () => {
    const secret = { ...none, dest: '/run/secrets/token', mountType: MountType.SECRET };
    const secretOpt = { ID: 'token', mode: 0o400, uid: 5 };
    const [ref] = await run('cat /run/secrets/token; stat -c "%u %a" /run/secrets/token; echo "$TOKEN-$MISSING"', {
      mounts: [{ ...secret, secretOpt }],
      secretenv: [
        { ID: 'token', name: 'TOKEN' },
        { ID: 'nope', name: 'MISSING', optional: true },
      ],
    });
    assert.equal(output(), 's3cret\n5 400\ns3cret\n-\n');
    assert.equal(existsSync(join(added(ref), 'run')), false);
    await assert.rejects(
      run('true', { mounts: [{ ...secret, secretOpt: { ID: 'nope' } }] }),
      (error: unknown) => error instanceof MissingSecretError && error.message === 'secret nope: not found',
    );
    await run('ls /run', { mounts: [{ ...secret, secretOpt: { ID: 'nope', optional: true } }] }).catch(() => {});
    assert.match(output(2), /No such file/);
  });

  test('agents are forwarded', async () => {
    const socket = join(store.root, 'agent');
    const server = createServer(client => client.end('agent says hi'));
    await new Promise<void>(resolve => {
      server.listen(socket, resolve);
    });
    try {
      agents.set('default', socket);
      const ssh = { ...none, dest: '/agent.0', mountType: MountType.SSH };
      await run('test -S /agent.0; stat -c %a /agent.0', {
        mounts: [{ ...ssh, SSHOpt: { ID: '', mode: 0o600 } }],
      });
      assert.equal(output(), '600\n');
      await assert.rejects(run('true', { mounts: [{ ...ssh, SSHOpt: { ID: 'work' } }] }), /unset ssh forward key work/);
    } finally {
      server.close();
    }
  });

  test('tmpfs is empty and gone after the step', async () => {
    const mount = { ...none, dest: '/t', mountType: MountType.TMPFS, TmpfsOpt: { size: 1n << 20n } };
    const [ref] = await run('touch /t/x; df -k /t | tail -n 1 | awk "{print \\$2}"', { mounts: [mount] });
    assert.equal(output(), '1024\n');
    assert.equal(existsSync(join(added(ref), 't')), false);
  });

  test('caches outlive steps, failed ones too', async () => {
    await assert.rejects(run('echo 1 > /cache/f; exit 1', { mounts: [cache('/cache')] }), ExecError);
    const [ref] = await run('cat /cache/f', { mounts: [cache('/cache')] });
    assert.equal(output(), '1\n');
    assert.equal(existsSync(join(added(ref), 'cache')), false);
    await run('ls /cache', { mounts: [cache('another')] });
    assert.equal(output(), '');
  });

  test('a cache starts with the files of its input', async () => {
    const seed = await layer({ 'start/f': 'seeded' });
    const mount = { ...cache('seeded'), input: 1n, selector: '/start' };
    await run('cat /cache/f; echo more > /cache/g', { inputs: [seed], mounts: [mount] });
    await run('cat /cache/g', { inputs: [seed], mounts: [mount] });
    assert.equal(output(), 'more\n');
    assert.deepEqual(readdirSync(join(store.top(seed), 'start')), ['f']);
  });

  test('a step without an input has an empty root', async () => {
    const op = create(ExecOpSchema, {
      meta: { args: ['/m/bin/busybox', 'ls', '/'], cwd: '/' },
      mounts: [
        { ...root, input: -1n },
        { input: 0n, output: -1n, dest: '/m', readonly: true },
      ],
    });
    events.length = 0;
    const request = { op, platform: context.platform, resources: undefined, vertex: 'v' };
    const [ref] = await runExecOp(request, [base], context, new AbortController().signal);
    assert.match(output(), /^dev\netc\nm\nproc\nsys\n$/);
    assert.notDeepEqual(ref, scratch);
  });

  test('an aborted step ends at once and leaves nothing', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await assert.rejects(
      run('sleep 60', { signal: controller.signal }),
      (error: unknown) => error instanceof ExecError && error.message.endsWith('exit code: 137: context canceled'),
    );
  });
});
