import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { getXattr, setXattr } from '../../../host/system/xattr.ts';
import { filterTree } from '../../fsutil/filter-tree.ts';
import { type CapturedStream, readCapture } from '../../proto/capture-fixture.ts';
import { createOutbox } from '../outbox.ts';
import { diskTarget } from './disk-target.ts';
import { diskStats, diskTree } from './disk-tree.ts';
import { type FileStat, GoMode, permissionsOf, toGoMode, typeOfMode } from './file-stat.ts';
import { decodePacket, encodePacket, type Packet } from './packet.ts';
import type { PacketStream } from './packet-stream.ts';
import { type ReceiveOptions, receiveTree } from './receive-tree.ts';
import { sendTree } from './send-tree.ts';

const root = { owner: { uid: 0, gid: 0 } };
const mine = { owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } };
const isRoot = process.getuid?.() === 0;
const { signal } = new AbortController();

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-transfer-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The packets that one program sent. Of `big.bin` only the lengths were kept. */
function packetsOf(stream: CapturedStream, from: 'client' | 'daemon'): Buffer[] {
  const chunks = new Map<number, number>();
  return stream.events.flatMap(event => {
    if (event.kind !== 'message' || event.from !== from) return [];
    if (event.hex !== undefined) return Buffer.from(event.hex, 'hex');
    const id = bigFileId(stream);
    const offset = chunks.get(id) ?? 0;
    const length = (event.length ?? 0) - encodePacket({ type: 'data', id, data: new Uint8Array(32768) }).length + 32768;
    // The length of the last chunk takes as many bytes as that of the others.
    chunks.set(id, offset + length);
    const data = Buffer.from(Array.from({ length }, (_, at) => (offset + at) % 256));
    return Buffer.from(encodePacket({ type: 'data', id, data }));
  });
}

function bigFileId(stream: CapturedStream): number {
  const stats = stream.events.filter(e => e.kind === 'message' && e.from === 'client' && e.hex !== undefined);
  return stats
    .map(e => decodePacket(Buffer.from(e.hex ?? '', 'hex')))
    .filter(packet => packet.type === 'stat')
    .findIndex(({ stat }) => stat.path === 'big.bin');
}

interface Recorder extends PacketStream {
  readonly sent: Buffer[];
}

function recorder(incoming: readonly Uint8Array[], isSender = false): Recorder {
  const sent: Buffer[] = [];
  const isEnd = (bytes: Buffer): boolean => {
    const packet = decodePacket(bytes);
    return packet.type === 'data' && packet.data.length === 0;
  };
  return {
    sent,
    incoming: (async function* () {
      let asked = 0;
      for (const bytes of incoming) {
        const { type } = decodeIfPacket(bytes);
        if (type === 'request') asked++;
        // A receiver has everything before it says so.
        while (isSender && type === 'finish' && (sent.filter(isEnd).length < asked || !sent.some(p => p.length === 0)))
          await setImmediate();
        yield bytes;
      }
    })(),
    send: async packet => void sent.push(Buffer.from(packet)),
  };
}

function decodeIfPacket(bytes: Uint8Array): { readonly type: string } {
  try {
    return decodePacket(bytes);
  } catch {
    return { type: 'none' };
  }
}

async function transfer(from: string, to: string, options: ReceiveOptions = {}): Promise<Packet[]> {
  const [down, up] = [createOutbox<Uint8Array>(), createOutbox<Uint8Array>()];
  const tree = diskTree(from, mine);
  using target = diskTarget(to, mine);
  const requests: Packet[] = [];
  const receiver: PacketStream = {
    incoming: down,
    send: packet => {
      requests.push(decodePacket(packet));
      return up.send(packet);
    },
  };
  await Promise.all([
    sendTree({ incoming: up, send: packet => down.send(packet) }, tree, tree, signal),
    receiveTree(receiver, target, signal, options),
  ]);
  return requests;
}

const listing = (directory: string): FileStat[] => [...diskStats(directory)];
const hexes = (packets: readonly Buffer[]): string[] => packets.map(packet => packet.toString('hex'));

test('recorded transfers are received as BuildKit receives them', { skip: !isRoot && 'needs root' }, async t => {
  const directory = temporaryDirectory(t);
  let count = 0;
  for (const name of ['file-sync-full', 'file-sync-differential', 'file-sync-encoded-metadata']) {
    for (const [index, stream] of readCapture(name).entries()) {
      // The third call of each file is that for the context; each file goes on where the one before ended.
      const into = join(directory, String(index));
      mkdirSync(into, { recursive: true });
      const recorded = recorder(packetsOf(stream, 'client'));
      using target = diskTarget(into);
      // The Dockerfile and the ignore file are always fetched anew (`local.differ=none`).
      await receiveTree(recorded, target, signal, { differ: index < 2 ? 'none' : 'metadata' });
      assert.deepEqual(hexes(recorded.sent).sort(), hexes(packetsOf(stream, 'daemon')).sort(), `${name} ${index}`);
      count++;
    }
  }
  t.diagnostic(`${count} of ${count} transfers`);
  assert.equal(count, 9);
});

/** What was sent of each file: how it is cut, and which of several at once comes first, is free. */
function contents(packets: readonly Buffer[]): Map<number, string> {
  const found = new Map<number, string>();
  const all = packets.map(decodePacket).filter(packet => packet.type === 'data');
  for (const { id, data } of all) found.set(id, (found.get(id) ?? '') + Buffer.from(data).toString('latin1'));
  return new Map([...found].sort(([a], [b]) => a - b));
}

test('recorded trees are sent as buildctl sends them', { skip: !isRoot && 'needs root' }, async t => {
  const directory = temporaryDirectory(t);
  let count = 0;
  for (const name of ['file-sync-full', 'file-sync-differential', 'file-sync-encoded-metadata']) {
    for (const [index, stream] of readCapture(name).entries()) {
      const from = join(directory, `${name}-${index}`);
      mkdirSync(from);
      const all = packetsOf(stream, 'client');
      {
        // Files that were not asked for have no recorded contents; their sizes are those of the list.
        using target = diskTarget(from);
        const stats = all.map(decodePacket).flatMap(packet => (packet.type === 'stat' ? [packet.stat] : []));
        const data = all.map(decodePacket).filter(packet => packet.type === 'data');
        for (const [id, stat] of stats.entries()) {
          target.create(stat);
          if (typeOfMode(stat.mode) !== 'file' || stat.linkname !== '') continue;
          const contents = data.filter(packet => packet.id === id).map(packet => packet.data);
          target.write(stat, contents.length > 0 ? Buffer.concat(contents) : new Uint8Array(stat.size));
          target.close(stat);
        }
        target.finish(stats.filter(stat => typeOfMode(stat.mode) === 'dir'));
      }
      const tree = diskTree(from, root);
      const recorded = recorder(packetsOf(stream, 'daemon'), true);
      await sendTree(recorded, tree, tree, signal);
      assert.deepEqual(contents(recorded.sent), contents(all), `${name} ${index}`);
      const isStat = (packet: Buffer): boolean => decodePacket(packet).type === 'stat';
      assert.deepEqual(hexes(recorded.sent.filter(isStat)), hexes(all.filter(isStat)), `${name} ${index}`);
      count++;
    }
  }
  t.diagnostic(`${count} of ${count} transfers`);
  assert.equal(count, 9);
});

function makeTree(directory: string): void {
  const at = (path: string): string => join(directory, path);
  mkdirSync(at('dir/deep'), { recursive: true });
  mkdirSync(at('empty'));
  writeFileSync(at('a.txt'), 'a\n');
  linkSync(at('a.txt'), at('dir/hard'));
  writeFileSync(at('dir/deep/big'), Buffer.alloc(300_000, 'x'));
  writeFileSync(at('dir-x'), '');
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x80])]), 'not UTF-8');
  symlinkSync('../a.txt', at('dir/link'));
  symlinkSync('/etc', at('absolute'));
  chmodSync(at('a.txt'), 0o4755);
  chmodSync(at('empty'), 0o1777);
  setXattr(at('a.txt'), 'user.note', Buffer.from('hi'));
  utimesSync(at('dir'), 1000, 1000.25);
}

test('a tree arrives as it was, and again only what changed', async t => {
  const [from, to] = [temporaryDirectory(t), temporaryDirectory(t)];
  makeTree(from);
  const first = await transfer(from, to);
  assert.equal(first.filter(p => p.type === 'request').length, 4);
  assert.deepEqual(listing(to), listing(from));
  assert.equal(String(getXattr(join(to, 'a.txt'), 'user.note')), 'hi');
  assert.deepEqual(readFileSync(join(to, 'dir/deep/big')), readFileSync(join(from, 'dir/deep/big')));

  assert.deepEqual(
    (await transfer(from, to)).map(p => p.type),
    ['finish'],
  );

  writeFileSync(join(from, 'a.txt'), 'changed\n');
  rmSync(join(from, 'dir/deep'), { recursive: true });
  writeFileSync(join(from, 'dir/deep'), 'now a file');
  rmSync(join(from, 'absolute'));
  mkdirSync(join(from, 'absolute'));
  writeFileSync(join(from, 'absolute/passwd'), 'x');
  rmSync(join(from, 'empty'), { recursive: true });
  symlinkSync('/', join(from, 'empty'));
  rmSync(join(from, 'dir-x'));
  const second = await transfer(from, to);
  assert.equal(second.filter(p => p.type === 'request').length, 3);
  assert.deepEqual(listing(to), listing(from));
  assert.equal(readFileSync(join(to, 'dir/hard'), 'utf8'), 'changed\n');

  const everything = await transfer(from, to, { differ: 'none' });
  assert.equal(everything.filter(p => p.type === 'request').length, 4);
  assert.deepEqual(listing(to), listing(from));
});

test('merging removes nothing and follows no links', async t => {
  const [from, to, outside] = [temporaryDirectory(t), temporaryDirectory(t), temporaryDirectory(t)];
  mkdirSync(join(from, 'out'));
  writeFileSync(join(from, 'out/new'), 'new');
  writeFileSync(join(from, 'file'), 'new');
  writeFileSync(join(outside, 'kept'), 'outside');
  writeFileSync(join(to, 'kept'), 'kept');
  symlinkSync(outside, join(to, 'out'));
  symlinkSync(join(outside, 'kept'), join(to, 'file'));
  await transfer(from, to, { merge: true });
  assert.deepEqual(readdirSync(to).sort(), ['file', 'kept', 'out']);
  assert.deepEqual([readFileSync(join(to, 'file'), 'utf8'), lstatSync(join(to, 'out')).isDirectory()], ['new', true]);
  assert.deepEqual([readdirSync(outside), readFileSync(join(outside, 'kept'), 'utf8')], [['kept'], 'outside']);
});

test('directories that their owner may not write are filled', async t => {
  const [from, to] = [temporaryDirectory(t), temporaryDirectory(t)];
  mkdirSync(join(from, 'locked'));
  writeFileSync(join(from, 'locked/file'), 'x', { mode: 0o444 });
  chmodSync(join(from, 'locked'), 0o555);
  await transfer(from, to);
  assert.deepEqual(listing(to), listing(from));
  for (const directory of [from, to]) chmodSync(join(directory, 'locked'), 0o755);
});

test('a filtered tree is sent with its hard links put right', async t => {
  const from = temporaryDirectory(t);
  makeTree(from);
  const tree = diskTree(from, root);
  const recorded = recorder([encodePacket({ type: 'finish' })], true);
  await sendTree(recorded, filterTree(tree, { excludePatterns: ['a.txt', 'absolute', 'dir/deep'] }), tree, signal);
  const sent = recorded.sent
    .map(decodePacket)
    .flatMap(p => (p.type === 'stat' ? [[p.stat.path, p.stat.linkname]] : []));
  assert.deepEqual(
    sent.filter(([path]) => path === 'dir/hard' || path === 'a.txt'),
    [['dir/hard', '']],
  );
});

test('metadata only: the chosen files are written, and the list of all', async t => {
  const [from, to] = [temporaryDirectory(t), temporaryDirectory(t)];
  makeTree(from);
  const requests = await transfer(from, to, { metadataOnly: ({ path }) => path === 'dir/deep/big' });
  assert.equal(requests.filter(p => p.type === 'request').length, 1);
  assert.deepEqual(
    listing(to).map(s => s.path),
    ['.fsutil-metadata', 'dir', 'dir/deep', 'dir/deep/big'],
  );
  const records = readFileSync(join(to, '.fsutil-metadata'));
  let count = 0;
  for (let at = 0; at < records.length; at += 4 + records.readUInt32LE(at)) count++;
  assert.equal(count, listing(from).length);
});

function stat(path: string, more: Partial<FileStat> = {}): Uint8Array {
  const plain = {
    mode: 0o644,
    ...mine.owner,
    size: 0,
    modTime: 0n,
    linkname: '',
    devmajor: 0,
    devminor: 0,
    xattrs: new Map(),
  };
  return encodePacket({ type: 'stat', stat: { path, ...plain, ...more } });
}

test('a sender cannot leave the tree or break the list', async t => {
  const outside = temporaryDirectory(t);
  const directory = { mode: GoMode.dir + 0o755 };
  const link = { mode: GoMode.symlink + 0o777, linkname: outside };
  const cases: [packets: Uint8Array[], message: RegExp][] = [
    [[stat('/abs')], /absolute path/],
    [[stat('../up')], /escape check/],
    [[stat('a', directory), stat('a/../../up')], /escape check/],
    [[stat('a//b')], /unclean path/],
    [[stat('.')], /unclean path/],
    [[stat('')], /unclean path/],
    [[stat('b'), stat('a')], /changes out of order: "a" "b"/],
    [[stat('a'), stat('a')], /changes out of order/],
    [[stat('a'), stat('a/b')], /changes out of order/],
    [[stat('a', link), stat('a/b')], /changes out of order/],
    [[stat('a', directory), stat('b'), stat('a/c')], /changes out of order/],
    [[stat('a', { linkname: 'b' })], /invalid link a to unknown path: "b"/],
    [[stat('a', link), stat('b', { linkname: 'a' })], /invalid link b/],
    [[stat('a', { linkname: '../../etc/passwd' })], /invalid link/],
    [[encodePacket({ type: 'data', id: 7, data: Buffer.from('x') })], /invalid file request 7/],
    [[encodePacket({ type: 'finish' })], /before it was complete/],
    [[encodePacket({ type: 'end' }), encodePacket({ type: 'end' })], /ended twice/],
    [[encodePacket({ type: 'error', message: 'gone' })], /^TransferError: error from sender: gone$/],
    [[Buffer.from([0x08, 0x09])], /unknown packet type 9/],
    [[], /before it was complete/],
  ];
  for (const [packets, message] of cases) {
    const into = temporaryDirectory(t);
    const recorded = recorder(packets);
    using target = diskTarget(into, mine);
    await assert.rejects(receiveTree(recorded, target, signal), error => message.test(String(error)), String(message));
    assert.equal(decodePacket(recorded.sent.at(-1) ?? Buffer.of()).type, 'error');
    assert.deepEqual(readdirSync(outside), []);
  }
});

test('a receiver cannot ask for what was not offered, or twice', async t => {
  const from = temporaryDirectory(t);
  writeFileSync(join(from, 'a'), 'x');
  mkdirSync(join(from, 'b'));
  for (const ids of [[1], [2], [0, 0]]) {
    const tree = diskTree(from);
    const outgoing = createOutbox<Uint8Array>();
    const listed = Promise.withResolvers<void>();
    const stream: PacketStream = {
      incoming: outgoing,
      send: async packet => {
        if (decodePacket(packet).type === 'end') listed.resolve();
      },
    };
    const sending = sendTree(stream, tree, tree, signal);
    await listed.promise;
    for (const id of ids) await outgoing.send(encodePacket({ type: 'request', id }));
    await assert.rejects(sending, { message: `invalid file id ${ids.at(-1)}` });
  }
});

test('transfers end when they are aborted', async t => {
  const from = temporaryDirectory(t);
  writeFileSync(join(from, 'a'), 'x');
  const abort = new AbortController();
  const tree = diskTree(from);
  const never = { incoming: createOutbox<Uint8Array>(), send: () => new Promise<void>(() => {}) };
  const sending = sendTree(never, tree, tree, abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(sending, { message: 'enough' });
});

test('modes travel as those of Go', () => {
  const cases: [unix: number, go: number][] = [
    [0o100644, 0o644],
    [0o041777, 2148532735],
    [0o104755, GoMode.setuid + 0o755],
    [0o120777, GoMode.symlink + 0o777],
    [0o020600, GoMode.device + GoMode.charDevice + 0o600],
    [0o060600, GoMode.device + 0o600],
    [0o012755, GoMode.namedPipe + GoMode.setgid + 0o755],
  ];
  for (const [unix, go] of cases) {
    assert.equal(toGoMode(unix), go);
    assert.equal(permissionsOf(go), unix & 0o7777);
  }
});
