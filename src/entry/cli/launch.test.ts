import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { outcrop } from '../../../test/support/cli.ts';

test('code that one process has compiled is taken by the next', async () => {
  using work = mkdtempDisposableSync(join(tmpdir(), 'outcrop-launch-'));
  const context = join(work.path, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n');
  const build = async () => {
    const { code, stderr } = await outcrop(['build', '--progress=plain', context], {
      root: join(work.path, 'root'),
      env: { XDG_CACHE_HOME: join(work.path, 'cache') },
    });
    assert.equal(code, 0, stderr);
  };
  // A file that is refused is written again, and so has another inode.
  const kept = () => {
    const [directory = ''] = readdirSync(join(work.path, 'cache/outcrop'));
    const path = join(work.path, 'cache/outcrop', directory);
    return new Map(readdirSync(path).map(name => [name, statSync(join(path, name)).ino]));
  };
  await build();
  const first = kept();
  assert.ok(first.size >= 2);
  await build();
  const second = kept();
  for (const [name, inode] of first) assert.equal(second.get(name), inode, `${name} was refused`);
});
