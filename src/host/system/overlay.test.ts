import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { UnmountFlag, unmount } from './mount.ts';
import { enterPrivateMountNamespace } from './namespace.ts';
import { mountOverlay, probeOverlay } from './overlay.ts';
import { SystemError } from './system-error.ts';

const root = process.getuid?.() === 0;

describe('mountOverlay', { skip: root ? false : 'needs root to mount' }, () => {
  let place = '';
  before(() => {
    enterPrivateMountNamespace();
    place = mkdtempSync(join(tmpdir(), 'overlay-'));
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  const directory = (...names: string[]): string => {
    const path = join(place, ...names);
    mkdirSync(path, { recursive: true });
    return path;
  };

  it('joins layers, top first, and keeps changes in the upper directory', () => {
    const lower = ['a', 'b'].map(name => directory(name));
    writeFileSync(join(place, 'a', 'one'), 'top');
    writeFileSync(join(place, 'b', 'one'), 'bottom');
    writeFileSync(join(place, 'b', 'two'), 'kept');
    const target = directory('joined');
    mountOverlay({ lower, upper: directory('upper'), work: directory('work'), target, volatile: true });
    try {
      assert.equal(readFileSync(join(target, 'one'), 'utf8'), 'top');
      rmSync(join(target, 'two'));
      const whiteout = lstatSync(join(place, 'upper', 'two'));
      assert.ok(whiteout.isCharacterDevice());
      assert.equal(whiteout.rdev, 0);
    } finally {
      unmount(target);
    }
  });

  it('is read-only without an upper directory', () => {
    const target = directory('view');
    for (const lower of [[directory('a')], [directory('a'), directory('b')]]) {
      mountOverlay({ lower, target });
      try {
        assert.ok(existsSync(join(target, 'one')));
        assert.throws(() => writeFileSync(join(target, 'new'), ''), { code: 'EROFS' });
      } finally {
        unmount(target);
      }
    }
  });

  it('binds the upper directory when nothing is below', () => {
    const target = directory('bound');
    const upper = directory('alone');
    mountOverlay({ lower: [], upper, work: directory('unused'), target });
    writeFileSync(join(target, 'x'), '');
    unmount(target);
    assert.deepEqual(readdirSync(upper), ['x']);
  });

  it('takes more layers than fit into one page of options', () => {
    const lower = Array.from({ length: 400 }, (_, index) => directory('many', `layer-${index}`, 'fs'));
    writeFileSync(join(place, 'many', 'layer-399', 'fs', 'bottom'), '');
    const target = directory('deep');
    mountOverlay({ lower, upper: directory('deep-upper'), work: directory('deep-work'), target });
    assert.ok(existsSync(join(target, 'bottom')));
    unmount(target);
  });

  it('takes paths with separators and long names', () => {
    const odd = directory('odd:na,me\\x');
    writeFileSync(join(odd, 'f'), '');
    const long = directory('l'.repeat(200), 'm'.repeat(200));
    const target = directory('odd-target');
    for (const lower of [
      [odd, directory('a')],
      [odd, long, directory('a')],
    ]) {
      mountOverlay({ lower, target });
      assert.ok(existsSync(join(target, 'f')));
      unmount(target, UnmountFlag.detach);
    }
  });

  it('says what is wrong', () => {
    assert.throws(
      () => mountOverlay({ lower: [join(place, 'missing'), directory('a')], target: directory('t') }),
      (error: unknown) => error instanceof SystemError && error.code === 'ENOENT' && error.path === join(place, 't'),
    );
    assert.equal(probeOverlay(place), undefined);
  });
});
