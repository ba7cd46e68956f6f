import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempDisposableSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeNode } from '../../host/system/inode.ts';
import { fromBytePath } from '../../wire/fsutil/byte-path.ts';
import { InvalidArchiveError } from './store-error.ts';
import { encodeTarHeader, type TarHeader } from './tar-header.ts';
import { createTarReader, parsePaxTime } from './tar-reader.ts';

interface Member extends TarHeader {
  readonly content: Buffer;
}

function read(tar: Uint8Array, pieces: number): Member[] {
  const members: Member[] = [];
  let header: TarHeader | undefined;
  let content: Buffer[] = [];
  const reader = createTarReader({
    entry(next) {
      header = next;
      content = [];
    },
    data(chunk) {
      content.push(Buffer.from(chunk));
    },
    end() {
      if (header !== undefined) members.push({ ...header, content: Buffer.concat(content) });
    },
  });
  for (let at = 0; at < tar.length; at += pieces) reader.push(tar.subarray(at, at + pieces));
  reader.finish();
  return members;
}

const long = `${'directory-'.repeat(12)}/${'file-'.repeat(24)}`;

function sample(root: string): void {
  mkdirSync(join(root, 'd'));
  writeFileSync(join(root, 'd/empty'), '');
  writeFileSync(join(root, 'd/small'), 'hello\n');
  writeFileSync(join(root, 'd/block'), 'x'.repeat(512));
  writeFileSync(join(root, 'd/large'), Buffer.alloc(100_001, 'abc'));
  linkSync(join(root, 'd/small'), join(root, 'd/hard'));
  symlinkSync('small', join(root, 'd/soft'));
  mkdirSync(join(root, 'long', long.split('/')[0] ?? ''), { recursive: true });
  writeFileSync(join(root, 'long', long), 'long\n');
  symlinkSync('t'.repeat(150), join(root, 'long/link'));
  writeFileSync(join(root, 'd/ünï'), 'u');
  makeNode(join(root, 'd/pipe'), 0o010644);
  const sparse = openSync(join(root, 'd/sparse'), 'w');
  for (let i = 0; i < 40; i++) writeSync(sparse, `part ${i}`, i * 65_536 + 4096);
  ftruncateSync(sparse, 50 * 65_536);
  closeSync(sparse);
  utimesSync(join(root, 'd/small'), 1_600_000_000.25, 1_600_000_000.25);
}

const formats: readonly (readonly string[])[] = [
  ['--format=gnu'],
  ['--format=oldgnu'],
  ['--format=pax'],
  ['--format=gnu', '--sparse'],
  ['--format=pax', '--sparse', '--sparse-version=0.0'],
  ['--format=pax', '--sparse', '--sparse-version=0.1'],
  ['--format=pax', '--sparse', '--sparse-version=1.0'],
];

test('GNU tar’s formats are read, in pieces of any size', () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-tar-'));
  sample(directory.path);
  for (const format of formats) {
    const tar = execFileSync('tar', [...format, '--sort=name', '-C', directory.path, '-c', 'd', 'long'], {
      maxBuffer: 1 << 28,
    });
    const members = read(tar, 1 << 30);
    for (const pieces of [511, 512, 7000]) assert.deepEqual(read(tar, pieces), members, `${format} in ${pieces}`);
    const named = new Map(members.map(member => [fromBytePath(member.name), member]));
    const of = (name: string): Member => {
      const member = named.get(name);
      assert.ok(member, `${format}: ${name}`);
      return member;
    };
    assert.equal(of('d/empty').content.length, 0);
    assert.equal(of('d/block').content.toString(), 'x'.repeat(512));
    assert.deepEqual(of('d/large').content, Buffer.alloc(100_001, 'abc'));
    assert.equal(of('d/ünï').content.toString(), 'u');
    assert.equal(of(`long/${long}`).content.toString(), 'long\n');
    assert.equal(of('long/link').linkname, 't'.repeat(150));
    assert.equal(of('d/pipe').type, '6');
    assert.equal(of('d/').type, '5');
    const links = [of('d/small'), of('d/hard')].map(member => member.type).sort();
    assert.deepEqual(links, ['0', '1']);
    const sparse = of('d/sparse');
    assert.equal(sparse.size, 50 * 65_536);
    assert.equal(sparse.content.length, sparse.size, `${format}`);
    for (let i = 0; i < 40; i++) {
      assert.equal(
        sparse.content.toString('latin1', i * 65_536 + 4096, i * 65_536 + 4103),
        `part ${i}`.padEnd(7, '\0'),
      );
    }
    if (format[0] === '--format=pax')
      assert.equal(of('d/small').mtimeNanoseconds ?? of('d/hard').mtimeNanoseconds, 250_000_000);
  }
});

test('large numbers in base 256 are read', () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-tar-'));
  writeFileSync(join(directory.path, 'f'), '');
  const tar = execFileSync('tar', [
    '--format=gnu',
    '--owner=:3000000',
    '--group=:4294967294',
    '--mtime=@-5',
    '-C',
    directory.path,
    '-c',
    'f',
  ]);
  const [member] = read(tar, 1 << 20);
  assert.equal(member?.uid, 3_000_000);
  assert.equal(member?.gid, 4_294_967_294);
  assert.equal(member?.mtime, -5);
});

test('what is no tar, or half of one, is refused', () => {
  const header = encodeTarHeader({ name: 'f', type: '0', mode: 0o644, uid: 0, gid: 0, size: 600, mtime: 0 });
  assert.throws(() => read(header, 512), /cut off in the middle of a file/);
  assert.throws(() => read(header.subarray(0, 300), 512), /cut off/);
  // Only what would fill the last block is missing.
  assert.equal(read(Buffer.concat([header, Buffer.alloc(600, 'x')]), 512).length, 1);
  assert.throws(() => read(Buffer.alloc(512, 'garbage'), 512), InvalidArchiveError);
  const damaged = Buffer.from(header);
  damaged[0] = 0x67;
  assert.throws(() => read(damaged, 512), /checksum/);
  assert.deepEqual(read(Buffer.alloc(1024), 512), []);
  assert.deepEqual(read(Buffer.alloc(0), 512), []);
});

test('times of PAX records', () => {
  assert.deepEqual(parsePaxTime('1.5'), { mtime: 1, mtimeNanoseconds: 500_000_000 });
  assert.deepEqual(parsePaxTime('-1.5'), { mtime: -2, mtimeNanoseconds: 500_000_000 });
  assert.deepEqual(parsePaxTime('-1'), { mtime: -1, mtimeNanoseconds: 0 });
  assert.deepEqual(parsePaxTime('1234567890.1234567899'), { mtime: 1_234_567_890, mtimeNanoseconds: 123_456_789 });
  assert.throws(() => parsePaxTime('soon'), InvalidArchiveError);
});
