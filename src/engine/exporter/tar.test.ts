import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempDisposableSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimes } from '../../host/system/inode.ts';
import { workerPool } from '../../store/content/pool.ts';
import { createTarReader } from '../../store/content/tar-reader.ts';
import { directoryTree } from '../../store/snapshot/file-tree-directory.ts';
import { mergeTrees } from './merged-tree.ts';
import { treeTar } from './tar.ts';

const TIME = 1_600_000_000n * 1_000_000_000n + 5n;

function directory() {
  const temporary = mkdtempDisposableSync(join(tmpdir(), 'outcrop-träd-tar-'));
  const at = (name: string) => join(temporary.path, name);
  mkdirSync(at('d/.wh.hidden'), { recursive: true });
  writeFileSync(at('d/.wh.hidden/x'), 'x');
  writeFileSync(at('d/a'), 'content');
  linkSync(at('d/a'), at('d/b'));
  symlinkSync('a', at('d/l'));
  writeFileSync(at('empty'), '');
  for (const name of ['d/a', 'd/l', 'empty', 'd']) setTimes(at(name), TIME, TIME);
  return temporary;
}

/** `name type linkname content mtime`. */
function members(tar: Uint8Array): string[] {
  const lines: string[] = [];
  let line = '';
  const reader = createTarReader({
    entry({ name, type, linkname = '', mtime, mtimeNanoseconds = 0 }) {
      line = `${name} ${type} ${linkname} ${mtime}.${mtimeNanoseconds} `;
    },
    data(chunk) {
      line += Buffer.from(chunk).toString();
    },
    end: () => lines.push(line),
  });
  reader.push(tar);
  reader.finish();
  return lines;
}

test('a tree as a tar has further names of a file as links, and one time for all', async () => {
  using temporary = directory();
  const tar = await Array.fromAsync(treeTar(directoryTree(temporary.path), 7, AbortSignal.timeout(60_000)));
  assert.deepEqual(members(Buffer.concat(tar)), [
    'd/ 5  7.0 ',
    'd/.wh.hidden/ 5  7.0 ',
    'd/.wh.hidden/x 0  7.0 x',
    'd/a 0  7.0 content',
    'd/b 1 d/a 7.0 ',
    'd/l 2 a 7.0 ',
    'empty 0  7.0 ',
  ]);
});

test('of trees in directories of their own each is whole without the other', async () => {
  using temporary = directory();
  const parts = ['one', 'two'].map(name => ({ name, directory: name, tree: directoryTree(temporary.path) }));
  const tar = await Array.fromAsync(treeTar(mergeTrees(parts), 7, AbortSignal.timeout(60_000)));
  assert.deepEqual(
    members(Buffer.concat(tar)).filter(line => /[/][ab] /.test(line)),
    ['one/d/a 0  7.0 content', 'one/d/b 1 one/d/a 7.0 ', 'two/d/a 0  7.0 content', 'two/d/b 1 two/d/a 7.0 '],
  );
});

test('a packed tree keeps times to the nanosecond, and has nothing that hides what is below', async () => {
  using temporary = directory();
  using target = mkdtempDisposableSync(join(tmpdir(), 'outcrop-tree-tar-'));
  const output = join(target.path, 'blob');
  const input = { directory: temporary.path, output, compression: { type: 'uncompressed' } } as const;
  const { digest, diffID, size } = await workerPool().run('packTree', input, AbortSignal.timeout(60_000));
  assert.equal(digest, diffID);
  const tar = readFileSync(output);
  assert.equal(tar.length, size);
  assert.deepEqual(members(tar), [
    'd/ 5  1600000000.5 ',
    'd/a 0  1600000000.5 content',
    'd/b 1 d/a 1600000000.5 ',
    'd/l 2 a 1600000000.5 ',
    'empty 0  1600000000.5 ',
  ]);
});
