import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { enterPrivateMountNamespace } from '../../../host/system/namespace.ts';
import { type FileActionCopySchema, type FileActionSchema, FileOpSchema } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { InvalidOpError } from '../op-key.ts';
import { type Ref, type SnapshotRef, scratch } from '../ref.ts';
import { type TestingStore, testingStore } from '../testing-store.ts';
import { FileActionError } from './file-action-error.ts';
import { runFileOp } from './file-op.ts';

type Action = MessageInitShape<typeof FileActionSchema>;
type Choice = NonNullable<Action['action']>;

describe('file ops', { skip: process.getuid?.() === 0 ? false : 'needs root to mount' }, () => {
  let store: TestingStore;

  before(async () => {
    enterPrivateMountNamespace();
    store = await testingStore();
  });
  after(() => store[Symbol.asyncDispose]());
  afterEach(() => assert.deepEqual(store.mounts(), []));

  /** A layer with these files; a content `-> x` makes a link. */
  function layer(files: Record<string, string>, more?: (directory: string) => void): Promise<SnapshotRef> {
    return store.make(directory => {
      for (const [path, content] of Object.entries(files)) {
        const target = join(directory, path);
        mkdirSync(dirname(target), { recursive: true });
        if (content.startsWith('-> ')) symlinkSync(content.slice(3), target);
        else writeFileSync(target, content);
      }
      more?.(directory);
    });
  }

  async function run(inputs: readonly Ref[], actions: readonly Action[]): Promise<readonly SnapshotRef[]> {
    const op = create(FileOpSchema, { actions: [...actions] });
    return runFileOp(op, inputs, { layers: store.layers }, new AbortController().signal);
  }

  /** One action on the first input, or on nothing. */
  async function change(input: Ref | undefined, action: Choice, ...others: Ref[]): Promise<string> {
    const inputs = input === undefined ? others : [input, ...others];
    const secondaryInput = others.length > 0 ? BigInt(inputs.length - 1) : -1n;
    const [ref] = await run(inputs, [{ input: input === undefined ? -1n : 0n, secondaryInput, output: 0n, action }]);
    return store.top(ref);
  }

  const copy = (value: MessageInitShape<typeof FileActionCopySchema>): Choice => ({
    case: 'copy',
    value: { mode: -1, timestamp: -1n, createDestPath: true, dirCopyContents: true, ...value },
  });

  test('mkdir makes what is missing and leaves what is there', async () => {
    const base = await layer({ 'a/f': '' });
    const mkdir = (path: string, makeParents = false): Choice => ({
      case: 'mkdir',
      value: { path, mode: 0o1750, makeParents, timestamp: 5_000_000_000n },
    });
    const made = await change(base, mkdir('/a/b/c', true));
    assert.equal(statSync(join(made, 'a/b/c')).mode & 0o7777, 0o750);
    assert.equal(statSync(join(made, 'a/b/c')).mtimeMs, 5000);
    assert.deepEqual(readdirSync(await change(base, mkdir('/a/f'))), []);
    await assert.rejects(change(base, mkdir('/a/f', true)), /^SystemError: mkdir \/a\/f: not a directory$/);
    await assert.rejects(change(base, mkdir('/x/y')), /^SystemError: mkdir \/x\/y: no such file or directory$/);
  });

  test('what an action found and left when it failed is kept where it is asked for', async () => {
    const mkdir: Choice = { case: 'mkdir', value: { path: '/d', mode: 0o755, timestamp: -1n } };
    const mkfile: Choice = { case: 'mkfile', value: { path: '/d/f', mode: 0o644, data: Buffer.from('x') } };
    const base = await layer({ b: '' });
    const op = create(FileOpSchema, {
      actions: [
        { input: -1n, secondaryInput: -1n, output: -1n, action: mkdir },
        { input: 1n, secondaryInput: -1n, output: -1n, action: mkfile },
        { input: 0n, secondaryInput: -1n, output: -1n, action: mkdir },
        {
          input: 3n,
          secondaryInput: 2n,
          output: 0n,
          action: copy({ src: '/d/f', dest: '/no/f', createDestPath: false }),
        },
      ],
    });
    const running = runFileOp(op, [base], { layers: store.layers, keepsFailures: true }, new AbortController().signal);
    const error: unknown = await running.catch(thrown => thrown);
    assert.ok(error instanceof FileActionError);
    assert.equal(error.index, 3);
    assert.match(error.message, /no such file or directory$/);
    const { inputs, mounts } = error.step;
    assert.deepEqual(inputs, [base]);
    assert.deepEqual([mounts[0], mounts[2]], [undefined, undefined]);
    assert.equal(readFileSync(join(store.top(mounts[1]), 'd/f'), 'utf8'), 'x');
    assert.deepEqual(readdirSync(store.top(mounts[3])), ['d']);
  });

  test('mkfile writes through links inside the root', async () => {
    const base = await layer({ link: '-> /real', real: 'old' });
    const mkfile = (path: string): Choice => ({
      case: 'mkfile',
      value: { path, mode: 0o4640, data: Buffer.from('new'), timestamp: -1n },
    });
    const made = await change(base, mkfile('/link'));
    assert.deepEqual(readdirSync(made), ['real']);
    assert.equal(readFileSync(join(made, 'real'), 'utf8'), 'new');
    assert.equal(statSync(join(made, 'real')).mode & 0o7777, 0o644);
    assert.equal(statSync(join(await change(undefined, mkfile('/f')), 'f')).mode & 0o7777, 0o640);
    await assert.rejects(change(base, mkfile('/no/f')), /^SystemError: open \/no\/f: no such file or directory$/);
  });

  test('symlink makes a link that leads anywhere, where nothing is', async () => {
    const base = await layer({ f: '' });
    const symlink = (newpath: string): Choice => ({
      case: 'symlink',
      value: { oldpath: '../any', newpath, timestamp: -1n, owner: { user: { user: { case: 'byID', value: 7 } } } },
    });
    const made = await change(base, symlink('/l'));
    assert.equal(readlinkSync(join(made, 'l')), '../any');
    assert.deepEqual([lstatSync(join(made, 'l')).uid, lstatSync(join(made, 'l')).gid], [7, 7]);
    await assert.rejects(change(base, symlink('/f')), /file exists$/);
  });

  test('rm removes trees, links themselves, and what matches', async () => {
    const base = await layer({ 'd/x/y': '', 'd/l': '-> x', 'd/keep': '', a1: '', a2: '', b: '' });
    const rm = (path: string, allowNotFound = false, allowWildcard = false): Choice => ({
      case: 'rm',
      value: { path, allowNotFound, allowWildcard },
    });
    const whiteouts = (directory: string) =>
      readdirSync(directory).filter(name => lstatSync(join(directory, name)).isCharacterDevice());
    assert.deepEqual(whiteouts(join(await change(base, rm('/d/l')), 'd')), ['l']);
    assert.deepEqual(whiteouts(join(await change(base, rm('/d/x')), 'd')), ['x']);
    assert.deepEqual(whiteouts(await change(base, rm('/a*', false, true))), ['a1', 'a2']);
    assert.deepEqual(readdirSync(await change(base, rm('/z*', false, true))), []);
    assert.deepEqual(readdirSync(await change(base, rm('/nope', true))), []);
    await assert.rejects(change(base, rm('/nope')), /^SystemError: stat \/nope: no such file or directory$/);
    await assert.rejects(change(base, rm('/')), /^EmptyPathError: rmPath: invalid empty path$/);
  });

  test('actions go on with each other, and outputs in between are layers of their own', async () => {
    const mkfile = (path: string): Choice => ({
      case: 'mkfile',
      value: { path, mode: 0o644, data: new Uint8Array(), timestamp: -1n },
    });
    const base = await layer({});
    const chained = await run(
      [base],
      [
        { input: 0n, secondaryInput: -1n, output: -1n, action: mkfile('/a') },
        { input: 1n, secondaryInput: -1n, output: 0n, action: mkfile('/b') },
      ],
    );
    assert.equal(chained[0]?.layers.length, 2);
    const forked = await run(
      [base],
      [
        { input: 0n, secondaryInput: -1n, output: 1n, action: mkfile('/a') },
        { input: 1n, secondaryInput: -1n, output: 0n, action: mkfile('/b') },
        { input: -1n, secondaryInput: 1n, output: 2n, action: copy({ src: '/a', dest: '/c' }) },
      ],
    );
    assert.deepEqual(
      forked.map(ref => ref.layers.length),
      [3, 2, 1],
    );
    assert.deepEqual(readdirSync(store.top(forked[2])), ['c']);
  });

  test('indices are checked', async () => {
    const rm: Choice = { case: 'rm', value: { path: '/x', allowNotFound: true } };
    const refused: [Action[], RegExp][] = [
      [[{ input: 4n, secondaryInput: -1n, output: 0n, action: rm }], /invalid input index 4/],
      [[{ input: 0n, secondaryInput: 9n, output: 0n, action: rm }], /invalid secondary input index 9/],
      [[{ input: 0n, secondaryInput: -1n, output: -1n, action: rm }], /no outputs specified/],
      [[{ input: 0n, secondaryInput: -1n, output: 1n, action: rm }], /missing output index 0/],
      [[{ input: 1n, secondaryInput: -1n, output: 0n, action: rm }], /loop from index/],
      [[0n, 1n].map(input => ({ input, secondaryInput: -1n, output: 0n, action: rm })), /duplicate output 0/],
    ];
    for (const [actions, message] of refused)
      await assert.rejects(
        run([scratch], actions),
        error => error instanceof InvalidOpError && message.test(error.message),
      );
  });

  test('patterns choose files, and the directories on the way to them', async () => {
    const source = await layer({ 'a/x.go': '', 'a/y.md': '', 'b/c/z.go': '', 'b/t/z.go': '', 'e/n': '' }, directory =>
      chmodSync(join(directory, 'b/c'), 0o711),
    );
    const made = await change(
      undefined,
      copy({ src: '/', dest: '/d', includePatterns: ['**/*.go'], excludePatterns: ['**/t', '!**/t/keep'] }),
      source,
    );
    assert.deepEqual(readdirSync(join(made, 'd'), { recursive: true }).sort(), ['a', 'a/x.go', 'b', 'b/c', 'b/c/z.go']);
    assert.equal(statSync(join(made, 'd/b/c')).mode & 0o777, 0o711);
  });

  test('names of one file stay that', async () => {
    const source = await layer({ 's/a': 'x' }, directory => linkSync(join(directory, 's/a'), join(directory, 's/b')));
    const made = await change(undefined, copy({ src: '/s', dest: '/d' }), source);
    assert.equal(lstatSync(join(made, 'd/a')).ino, lstatSync(join(made, 'd/b')).ino);
  });

  test('holes stay holes', async () => {
    const source = await layer({ f: 'start' }, directory => truncateSync(join(directory, 'f'), 8 << 20));
    const made = await change(undefined, copy({ src: '/f', dest: '/g' }), source);
    const { size, blocks } = statSync(join(made, 'g'));
    assert.equal(size, 8 << 20);
    assert.ok(blocks * 512 < 1 << 20);
    assert.equal(readFileSync(join(made, 'g')).subarray(0, 5).toString(), 'start');
  });

  test('what is in the way is replaced when asked for', async () => {
    const base = await layer({ 'd/x/y': 'old', 'd/f': 'old' });
    const source = await layer({ 's/x': 'new', 's/f/g': 'new' });
    await assert.rejects(
      change(base, copy({ src: '/s', dest: '/d' }), source),
      /^CopyConflictError: cannot copy to non-directory: \/d\/f$/,
    );
    const made = await change(base, copy({ src: '/s', dest: '/d', alwaysReplaceExistingDestPaths: true }), source);
    assert.equal(readFileSync(join(made, 'd/x'), 'utf8'), 'new');
    assert.equal(readFileSync(join(made, 'd/f/g'), 'utf8'), 'new');
  });

  test('a time is given to all that is made', async () => {
    const source = await layer({ 's/f': '', 's/e/g': '' });
    const made = await change(undefined, copy({ src: '/s', dest: '/p/q', timestamp: 1_500_000_000n }), source);
    for (const path of ['p', 'p/q', 'p/q/f', 'p/q/e', 'p/q/e/g'])
      assert.equal(statSync(join(made, path)).mtimeMs, 1500, path);
  });

  test('a missing source and a missing directory are errors with paths of the image', async () => {
    const source = await layer({ f: '' });
    await assert.rejects(
      change(undefined, copy({ src: '/nope', dest: '/d' }), source),
      /lstat \/nope: no such file or directory$/,
    );
    await assert.rejects(
      change(undefined, copy({ src: '/f', dest: '/no/f', createDestPath: false }), source),
      /failed to stat \/no\/f: lstat \/no: no such file or directory$/,
    );
    await assert.rejects(
      change(undefined, copy({ src: '/f*x', dest: '/d', allowWildcard: true }), source),
      /^NoMatchError: \/f\*x not found$/,
    );
  });

  test('a copy from nothing makes a directory', async () => {
    const [ref] = await run(
      [],
      [{ input: -1n, secondaryInput: -1n, output: 0n, action: copy({ src: '/', dest: '/d' }) }],
    );
    assert.ok(existsSync(join(store.top(ref), 'd')));
  });

  test('names that are not UTF-8 are kept', async () => {
    const source = await layer({ 's/f': '' }, directory =>
      writeFileSync(Buffer.concat([Buffer.from(join(directory, 's/')), Buffer.from([0xff, 0x2e, 0xe9])]), 'x'),
    );
    const made = await change(undefined, copy({ src: '/s', dest: '/dé' }), source);
    assert.deepEqual(readdirSync(join(made, 'dé'), 'latin1').sort(), ['f', '\xff.\xe9']);
  });
});
