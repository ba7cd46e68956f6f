import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InputChecksumError } from '../../../engine/ops/content-key.ts';
import { ExecError } from '../../../engine/ops/exec/exec-error.ts';
import { FileActionError } from '../../../engine/ops/file/file-action-error.ts';
import { snapshotRef } from '../../../engine/ops/ref.ts';
import { VertexError } from '../../../engine/solver/errors.ts';
import { image, loadDefinition, marshal, run } from '../../../plan/llb/index.ts';
import { GraphError } from '../error-status.ts';
import type { ResultRef } from '../frontend-result.ts';
import { failedStep } from './failed-step.ts';

const graph = loadDefinition(
  marshal(run(image('busybox'), ['false']).root, { platform: { os: 'linux', architecture: 'amd64' } }),
);
const { digest } = graph.head.vertex;
const vertex = { digest, name: '', inputs: [], ignoreCache: false };

test('the files of a failed step have names that stand for them', async () => {
  const [found, left] = [snapshotRef(['base']), snapshotRef(['base', 'written'])];
  const cause = new ExecError(['false'], new Error('exit code: 1'), undefined, {
    inputs: [found, undefined],
    mounts: [left, undefined],
  });
  const kept = new Map<string, ResultRef>();
  const solve = failedStep(new GraphError(graph, new VertexError(vertex, 'run', cause)), ref => kept.set(ref.id, ref));
  assert.equal(solve?.op?.op.case, 'exec');
  const [input = '', noInput] = solve?.inputIDs ?? [];
  const [mount = '', noMount] = solve?.mountIDs ?? [];
  assert.deepEqual([noInput, noMount], ['', '']);
  const { signal } = new AbortController();
  assert.deepEqual((await kept.get(input)?.solve(signal))?.result, found);
  assert.deepEqual((await kept.get(mount)?.solve(signal))?.result, left);
});

test('a failed file action and an input that could not be read are told apart', () => {
  const [input, left] = [snapshotRef(['base']), snapshotRef(['written'])];
  const told = (cause: Error) => {
    const kept: ResultRef[] = [];
    const solve = failedStep(new GraphError(graph, new VertexError(vertex, 'run', cause)), ref => kept.push(ref));
    return { subject: solve?.subject, mounts: solve?.mountIDs.map(id => id !== ''), kept: kept.length };
  };
  const action = told(new FileActionError(new Error('no'), 1, { inputs: [input], mounts: [undefined, left] }));
  assert.equal(action.subject?.case === 'file' && action.subject.value.index, 1n);
  assert.deepEqual(action.mounts, [false, true]);
  assert.equal(action.kept, 2);
  const content = told(new InputChecksumError({ ref: input, index: 2 }, new Error('no')));
  assert.equal(content.subject?.case === 'cache' && content.subject.value.index, 2n);
  assert.deepEqual(content.mounts, []);
  assert.equal(content.kept, 1);
});

test('other failures leave nothing to look into', () => {
  const keep = () => assert.fail('nothing is kept');
  assert.equal(failedStep(new Error('broken'), keep), undefined);
  const unkept = new ExecError(['false'], new Error('exit code: 1'));
  assert.equal(failedStep(new GraphError(graph, new VertexError(vertex, 'run', unkept)), keep), undefined);
});
