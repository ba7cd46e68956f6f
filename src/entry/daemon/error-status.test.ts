import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VertexError } from '../../engine/solver/errors.ts';
import { image, loadDefinition, marshal, run, type SourceMap } from '../../plan/llb/index.ts';
import { errorStatus, GraphError } from './error-status.ts';

test('the places of a failed step come last one first', () => {
  const map = (filename: string): SourceMap => ({ filename, language: '', data: Buffer.from(filename) });
  const [foo, bar] = [map('foo'), map('bar')];
  const locations = [
    { map: foo, lines: [7] },
    { map: bar, lines: [8] },
    { map: foo, lines: [9] },
  ];
  const platform = { os: 'linux', architecture: 'amd64' };
  const graph = loadDefinition(marshal(run(image('busybox'), ['false'], { locations }).root, { platform }));
  const { digest } = graph.head.vertex;
  const vertex = { digest, name: '', inputs: [], ignoreCache: false };
  const { details } = errorStatus(new GraphError(graph, new VertexError(vertex, 'run', new Error('broken'))));
  const lines = details
    .map(({ value }) => JSON.parse(new TextDecoder().decode(value)))
    .filter(detail => 'ranges' in detail)
    .map(({ info, ranges }) => `${info.filename}:${ranges[0].start.line}`);
  assert.deepEqual(lines, ['foo:9', 'bar:8', 'foo:7']);
});
