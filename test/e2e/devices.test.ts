/** `RUN --device`: which devices steps get, in this process and on a daemon, and what is said of those that they do not. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { channelToAddress } from '../../src/wire/grpc/dial.ts';
import { serviceClient } from '../../src/wire/grpc/service-client.ts';
import { Control } from '../../src/wire/proto/gen/control/control_pb.ts';
import { baseContext } from '../support/base-image.ts';
import { type CliRun, outcrop, stepsOf } from '../support/cli.ts';
import { startDaemon } from '../support/daemon.ts';

const work = mkdtempSync(join(tmpdir(), 'outcrop-devices-'));
after(() => rmSync(work, { recursive: true, force: true }));

const specs = join(work, 'cdi');
const context = join(work, 'context');
mkdirSync(specs);
mkdirSync(context);
writeFileSync(
  join(specs, 'vendor.yaml'),
  `cdiVersion: "0.6.0"
kind: vendor.com/device
devices:
- name: free
  annotations:
    org.mobyproject.buildkit.device.autoallow: true
  containerEdits:
    env: [FREE=1]
    deviceNodes: [{path: /dev/free, hostPath: /dev/zero}]
- name: guarded
  containerEdits:
    env: [GUARDED=1]
`,
);
writeFileSync(join(work, 'outcrop.toml'), `[cdi]\nspecDirs = [${JSON.stringify(specs)}]\n`);

function build(run: string, ...args: readonly string[]): Promise<CliRun> {
  writeFileSync(
    join(context, 'Dockerfile'),
    `# syntax=docker/dockerfile:1-labs
FROM base AS made
RUN ${run} (env | sort; ls /dev/free) > /seen 2>&1 || true
FROM scratch
COPY --from=made /seen /
`,
  );
  return outcrop(
    ['build', '--progress=rawjson', '--build-context', baseContext(), '-o', join(work, 'out'), ...args, context],
    { root: join(work, 'root'), env: { OUTCROP_CONFIG: join(work, 'outcrop.toml') } },
  );
}

function seen(): string {
  return readFileSync(join(work, 'out/seen'), 'utf8');
}

test('a step gets the devices that it asks for and may have', async () => {
  const free = await build('--device=vendor.com/device=free,required --device=other.com/device');
  assert.equal(free.code, 0, free.stderr);
  assert.match(seen(), /^FREE=1$[\s\S]*^\/dev\/free$/m);
  assert.doesNotMatch(seen(), /GUARDED/);
  const again = await build('--device=vendor.com/device=free,required --device=other.com/device');
  assert.ok(stepsOf(again.stderr).some(({ name, cached }) => name.includes('RUN --device') && cached));

  const guarded = await build('--device=vendor.com/device=guarded');
  assert.equal(guarded.code, 1);
  assert.match(
    guarded.stderr,
    /failed to load LLB: device vendor\.com\/device=guarded is requested by the build but not allowed/,
  );
  assert.match(guarded.stderr, /--allow device=vendor\.com\/device=guarded/);
  const allowed = await build('--device=gpu', '--allow', 'device=vendor.com/device=guarded,alias=gpu');
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(seen(), /^GUARDED=1$/m);

  const missing = await build('--device=other.com/device,required');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /required device \\*"other\.com\/device\\*" is not registered/);
});

test('a daemon tells of its devices and gives them to who may have them', async () => {
  await using daemon = await startDaemon(['--cdi-spec-dir', specs]);
  await using channel = channelToAddress(daemon.address);
  const { record } = await serviceClient(Control, channel).listWorkers({});
  assert.deepEqual(
    record[0]?.CDIDevices.map(({ Name, AutoAllow, Annotations }) => [Name, AutoAllow, Annotations]),
    [
      ['vendor.com/device=free', true, { 'org.mobyproject.buildkit.device.autoallow': 'true' }],
      ['vendor.com/device=guarded', false, {}],
    ],
  );
  const builder = ['--builder', daemon.address];
  const refused = await build('--device=vendor.com/device=*', ...builder);
  assert.match(refused.stderr, /device vendor\.com\/device=guarded is requested by the build but not allowed/);
  const allowed = await build('--device=vendor.com/device=*', ...builder, '--allow', 'device');
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(seen(), /^FREE=1\nGUARDED=1$/m);
});

test('a daemon without devices grants none', async () => {
  await using daemon = await startDaemon(['--cdi-disabled', '--cdi-spec-dir', specs]);
  const run = await build('--device=vendor.com/device=free', '--builder', daemon.address, '--allow', 'device');
  assert.match(run.stderr, /granting entitlement device is not allowed by build daemon configuration/);
});
