import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type Definition, DefinitionSchema, NetMode, OpSchema, SecurityMode } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { Edge, VertexReporter } from '../solver/op.ts';
import type { BuildEvent } from '../status/event.ts';
import { createOp, type OpVertex } from './create-op.ts';
import type { OpContext, SnapshotStore } from './op-context.ts';
import { InvalidOpError } from './op-key.ts';
import { type Ref, scratch, snapshotRef } from './ref.ts';
import { testingStore } from './testing-store.ts';

const signal = new AbortController().signal;

function vertexOf(op: MessageInitShape<typeof OpSchema>['op'] & object): OpVertex {
  const count = { merge: 3, diff: 2, build: 1, passthrough: 2, exec: 1, file: 1, source: 0 }[op.case ?? 'source'];
  const source = { digest: 'd', name: 'n', ignoreCache: false, inputs: [] };
  const inputs = Array.from({ length: count }, (): Edge => ({ vertex: source, output: 0 }));
  return { digest: 'sha256:v', name: 'v', ignoreCache: false, inputs, op: create(OpSchema, { op }) };
}

const never = () => assert.fail('not for these ops');
const NO_LAYERS: SnapshotStore = {
  get: never,
  unlazy: never,
  prepare: never,
  view: never,
  contents: never,
  diff: async (lower, upper) => upper.slice(lower.length),
  stack: async ids => ids,
};

function contextOf(overrides: Partial<OpContext> = {}): OpContext {
  return {
    layers: NO_LAYERS,
    sources: { open: never },
    runtime: { run: never, prepare: never, [Symbol.asyncDispose]: async () => {} },
    cacheMounts: { acquire: never, giveUp: never },
    secrets: { get: never },
    ssh: { socket: never },
    solve: never,
    emit: () => {},
    platform: { os: 'linux', architecture: 'riscv64' },
    entitlements: new Set(),
    devices: { read: never },
    now: () => 1n,
    ...overrides,
  };
}

test('a merge puts the layers of its inputs on top of each other', async () => {
  const op = createOp(
    vertexOf({ case: 'merge', value: { inputs: [{ input: 0n }, { input: 2n }, { input: 1n }] } }),
    contextOf(),
  );
  assert.equal(op.weight, 0);
  const inputs = [snapshotRef(['a', 'b']), scratch, snapshotRef(['c'])];
  assert.deepEqual(await op.exec(inputs, signal), [snapshotRef(['a', 'b', 'c'])]);
});

test('a diff is what its upper side adds', async () => {
  const run = (lower: bigint, upper: bigint, inputs: Ref[]) =>
    createOp(vertexOf({ case: 'diff', value: { lower: { input: lower }, upper: { input: upper } } }), contextOf()).exec(
      inputs,
      signal,
    );
  const [below, above] = [snapshotRef(['a']), snapshotRef(['a', 'b'])];
  assert.deepEqual(await run(0n, 1n, [below, above]), [snapshotRef(['b'])]);
  assert.deepEqual(await run(0n, 1n, [above, above]), [scratch]);
  assert.deepEqual(await run(-1n, 0n, [above]), [above]);
});

test('a passthrough hands its inputs on', async () => {
  const op = createOp(vertexOf({ case: 'passthrough', value: { id: 'p', outputs: [1n, 0n] } }), contextOf());
  const inputs = [snapshotRef(['a']), snapshotRef(['b'])];
  assert.deepEqual(await op.exec(inputs, signal), inputs.toReversed());
});

test('a build solves the graph that its input holds', async () => {
  await using store = await testingStore();
  const definition = create(DefinitionSchema, { def: [Buffer.from('op')] });
  const input = await store.make(directory =>
    writeFileSync(join(directory, 'def.bin'), toBinary(DefinitionSchema, definition)),
  );
  const solved: Definition[] = [];
  const solve = async (graph: Definition): Promise<Ref> => {
    solved.push(graph);
    return snapshotRef(['made']);
  };
  const run = (attrs: Record<string, string>) =>
    createOp(
      vertexOf({ case: 'build', value: { builder: -1n, inputs: { 'buildkit.llb.definition': { input: 0n } }, attrs } }),
      contextOf({ layers: store.layers, solve }),
    ).exec([input], signal);
  assert.deepEqual(await run({ 'llbbuild.filename': 'def.bin' }), [snapshotRef(['made'])]);
  assert.deepEqual(solved, [definition]);
  await assert.rejects(run({}), /failed to open buildkit.llb.definition: no such file or directory/);
});

test('what is not allowed is refused before anything runs', async () => {
  const exec = (network: NetMode, security: SecurityMode, allowed: string[]) =>
    createOp(
      vertexOf({ case: 'exec', value: { meta: { args: ['a'] }, mounts: [{ dest: '/' }], network, security } }),
      contextOf({ entitlements: new Set(allowed) }),
    );
  assert.throws(() => exec(NetMode.HOST, SecurityMode.SANDBOX, []), /^EntitlementError: network.host is not allowed$/);
  assert.throws(
    () => exec(NetMode.UNSET, SecurityMode.INSECURE, ['network.host']),
    /security.insecure is not allowed$/,
  );
  const { map } = await exec(NetMode.HOST, SecurityMode.INSECURE, ['network.host', 'security.insecure']).cacheMap(
    0,
    signal,
  );
  assert.deepEqual(map.parts.at(-1), { kind: 'platform', name: '', value: 'linux/riscv64' });
  assert.throws(() => createOp(vertexOf({ case: 'file', value: {} }), contextOf()), InvalidOpError);
});

test('unpacking is shown where the layers come from', async () => {
  const digest = `sha256:${'0'.repeat(64)}` as const;
  const layers: SnapshotStore = {
    ...NO_LAYERS,
    get: layer => ({ isUnpacked: layer === 'ready' }),
    unlazy: async (_layers, _signal, observe) => observe?.({ mediaType: '', digest, size: 1 }, async () => {}),
  };
  const op = createOp(
    vertexOf({ case: 'file', value: { actions: [{ action: { case: 'rm', value: {} } }] } }),
    contextOf({ layers }),
  );
  const [dep] = (await op.cacheMap(0, signal)).map.deps;
  const events: BuildEvent[] = [];
  let shown = 0;
  const reporter: VertexReporter = {
    vertex: 'sha256:base',
    emit: event => events.push(event),
    during: work => {
      shown++;
      return work();
    },
  };
  await dep?.preprocess?.(snapshotRef(['ready']), signal, reporter);
  assert.equal(shown, 0);
  await dep?.preprocess?.(snapshotRef(['ready', 'lazy']), signal, reporter);
  assert.equal(shown, 1);
  assert.deepEqual(
    events.map(event => event.kind === 'status' && [event.vertex, event.id, event.completed]),
    [
      ['sha256:base', `extracting ${digest}`, undefined],
      ['sha256:base', `extracting ${digest}`, 1n],
    ],
  );
});
