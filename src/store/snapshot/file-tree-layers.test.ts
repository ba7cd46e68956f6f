import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { unmount } from '../../host/system/mount.ts';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import { mountOverlay } from '../../host/system/overlay.ts';
import { setXattr } from '../../host/system/xattr.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { contentChecksums } from './checksum.ts';
import type { FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';
import { layersTree } from './file-tree-layers.ts';

/** What each layer does to those below it, bottom first, through the kernel's overlay. */
const STEPS = [
  `mkdir -p etc usr/bin usr/lib/deep var/log; echo a > etc/a; echo b > etc/b; echo x > usr/bin/x; ln -s x usr/bin/l
   echo d > usr/lib/deep/d; echo g > var/log/g; echo p > plain; mkdir became-file; echo i > became-file/i; echo f > became-dir`,
  `echo changed > etc/a; rm etc/b; rm -r usr/lib/deep; mkdir usr/lib/deep; echo new > usr/lib/deep/new; chmod 700 var
   rm -r became-file; echo f > became-file; rm became-dir; mkdir became-dir; echo i > became-dir/i; mknod null c 1 3`,
  `echo back > etc/b; rm -r var; mkdir var; echo v > var/v; rm plain; ln usr/bin/x usr/bin/hard; mkdir -m 1777 tmp; touch "$(printf 'raw\\377')"`,
];

function listing(tree: FileTree): string[] {
  return [...walkTree(tree)].map(([path, node]) => `${path} ${node.type} ${node.mode.toString(8)} ${node.size}`);
}

test('layers read without a mount are what the kernel shows', {
  skip: process.getuid?.() !== 0 && 'mounts',
}, async () => {
  enterPrivateMountNamespace();
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-layers-'));
  const target = join(scratch.path, 'merged');
  mkdirSync(target);
  const layers: string[] = [];
  for (const [index, step] of STEPS.entries()) {
    const [upper, work] = [join(scratch.path, `layer${index}`), join(scratch.path, `work${index}`)];
    for (const directory of [upper, work]) mkdirSync(directory);
    mountOverlay({ lower: layers.toReversed(), upper, work, target });
    try {
      execFileSync('sh', ['-ec', step], { cwd: target });
      setXattr(join(target, 'etc/a'), 'user.step', Buffer.from(String(index)));
      layers.push(upper);
      const mounted = directoryTree(target);
      const read = layersTree(layers);
      assert.deepEqual(listing(read), listing(mounted), `layers up to ${index}`);
      const expected = await contentChecksums(mounted, { view: 'scan' }).checksum('/');
      assert.equal(await contentChecksums(read, { view: 'scan' }).checksum('/'), expected);
      // By name, before anything was listed.
      const lazy = layersTree(layers);
      const checksums = contentChecksums(lazy, { view: 'scan' });
      for (const [path, node] of walkTree(mounted)) {
        if (/[^ -~]/.test(path)) continue;
        const digest = await contentChecksums(mounted, { view: 'scan' }).checksum(path);
        assert.equal(await checksums.checksum(path), digest, `${path} ${node.type}`);
      }
      for (const gone of ['etc/b', 'plain', 'usr/lib/deep/d', 'became-file/i', 'var/log']) {
        const expectedError = await contentChecksums(mounted, { view: 'scan' }).checksum(gone).catch(String);
        const found = await contentChecksums(layersTree(layers), { view: 'scan' }).checksum(gone).catch(String);
        assert.equal(found.replace(layers.at(-1) ?? '', target), expectedError);
      }
    } finally {
      unmount(target);
    }
  }
});
