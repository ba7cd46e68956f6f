import assert from 'node:assert/strict';
import { closeSync, lstatSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cloneFile, copyFileRange, makeDevice, makeNode, makeWhiteout, setTimes, splitDevice } from './inode.ts';

const root = process.getuid?.() === 0;

describe('inodes', () => {
  let place = '';
  before(() => {
    place = mkdtempSync(join(tmpdir(), 'inode-'));
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  it('are made as devices and pipes', { skip: root ? false : 'device nodes need root' }, () => {
    const device = join(place, 'device');
    makeNode(device, 0o020644, makeDevice(300, 70000));
    const { rdev } = lstatSync(device, { bigint: true });
    assert.deepEqual(splitDevice(rdev), { major: 300, minor: 70000 });
    const fifo = join(place, 'fifo');
    makeNode(fifo, 0o010600);
    assert.ok(lstatSync(fifo).isFIFO());
    const whiteout = join(place, 'whiteout');
    makeWhiteout(whiteout);
    assert.equal(lstatSync(whiteout).rdev, 0);
    assert.ok(lstatSync(whiteout).isCharacterDevice());
    assert.throws(() => makeWhiteout(whiteout), { code: 'EEXIST' });
  });

  it('round-trip device numbers', () => {
    for (const [major, minor] of [
      [0, 0],
      [1, 3],
      [259, 256],
      [4095, 1_048_575],
    ] as const) {
      assert.deepEqual(splitDevice(makeDevice(major, minor)), { major, minor });
    }
  });

  it('keep times to the nanosecond, also before the epoch and on links', () => {
    const file = join(place, 'file');
    writeFileSync(file, '');
    const link = join(place, 'link');
    symlinkSync(file, link);
    const before = lstatSync(file, { bigint: true }).mtimeNs;
    setTimes(link, 1n, 1_700_000_000_123_456_789n);
    assert.equal(lstatSync(link, { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n);
    assert.equal(lstatSync(file, { bigint: true }).mtimeNs, before);
    setTimes(file, 0n, -1n);
    assert.equal(lstatSync(file, { bigint: true }).mtimeNs, -1n);
  });

  it('share or copy content inside the kernel', () => {
    const [from, to] = [join(place, 'from'), join(place, 'to')];
    writeFileSync(from, 'content');
    const [source, target] = [openSync(from, 'r'), openSync(to, 'w')];
    try {
      if (!cloneFile(source, target)) {
        const copied = copyFileRange(source, target, 100);
        assert.ok(copied === undefined || copied === 7);
        if (copied === 7) assert.equal(copyFileRange(source, target, 100), 0);
        else writeFileSync(to, 'content');
      }
      assert.equal(readFileSync(to, 'utf8'), 'content');
    } finally {
      closeSync(source);
      closeSync(target);
    }
  });
});
