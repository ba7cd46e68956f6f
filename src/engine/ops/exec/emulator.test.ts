import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { canRun, findEmulator } from './emulator.ts';

test('a foreign step gets an emulator unless the kernel has one', () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-qemu-'));
  const binfmt = join(place.path, 'binfmt');
  mkdirSync(binfmt);
  const program = join(place.path, 'buildkit-qemu-aarch64');
  const env = { PATH: `/nowhere::${place.path}` };
  const machine = { os: 'linux', architecture: 'amd64' };
  const runs = (architecture: string) => canRun({ os: 'linux', architecture }, machine, binfmt);
  const find = (architecture: string) => findEmulator({ os: 'linux', architecture }, machine, env, binfmt);
  assert.equal(find('arm64'), undefined);
  writeFileSync(program, '', { mode: 0o755 });
  assert.equal(find('amd64'), undefined);
  assert.equal(find('386'), undefined);
  assert.deepEqual(find('arm64'), {
    mount: { kind: 'bind', target: '/dev/.buildkit_qemu_emulator', source: program, readOnly: true },
    args: ['/dev/.buildkit_qemu_emulator'],
  });
  const handler = 'interpreter /usr/bin/qemu-aarch64\nflags: F\noffset 0\n';
  writeFileSync(join(binfmt, 'qemu-aarch64'), `disabled\n${handler}`);
  assert.ok(find('arm64'));
  assert.deepEqual(['amd64', '386', 'arm64'].map(runs), [true, true, false]);
  writeFileSync(join(binfmt, 'qemu-aarch64'), `enabled\n${handler}`);
  assert.equal(find('arm64'), undefined);
  assert.equal(runs('arm64'), true);
});
