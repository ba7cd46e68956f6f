import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBuildArgs } from './build-args.ts';

test('an argument is in scope from its declaration to the end of its stage', () => {
  const args = createBuildArgs(new Map([['A', 'given']]));
  const stage = args.openStage();
  assert.deepEqual([...stage.values(new Map())], []);
  stage.declare('A', 'default');
  stage.declare('B', 'default');
  stage.declare('C', undefined);
  assert.deepEqual(Object.fromEntries(stage.values(new Map())), { A: 'given', B: 'default' });
  assert.deepEqual(Object.fromEntries(stage.values(new Map([['B', 'env']]))), { A: 'given' });
  assert.deepEqual([...args.openStage().values(new Map())], []);
});

test('a global argument reaches a stage that repeats it without a default', () => {
  const args = createBuildArgs(new Map());
  args.declareGlobal('G', 'global');
  assert.deepEqual(Object.fromEntries(args.globals()), { G: 'global' });
  const [first, second] = [args.openStage(), args.openStage()];
  first.declare('G', undefined);
  second.declare('G', 'own');
  assert.equal(first.values(new Map()).get('G'), 'global');
  assert.equal(second.values(new Map()).get('G'), 'own');
});

test('proxies need no declaration, are not listed without one, and are never unused', () => {
  const args = createBuildArgs(new Map(Object.entries({ HTTPS_PROXY: 'p', Z: '1', Y: '2' })));
  const stage = args.openStage();
  assert.deepEqual(Object.fromEntries(stage.values(new Map())), { HTTPS_PROXY: 'p' });
  assert.equal(stage.isListed('HTTPS_PROXY'), false);
  stage.declare('HTTPS_PROXY', undefined);
  assert.equal(stage.isListed('HTTPS_PROXY'), true);
  assert.equal(stage.isListed('Z'), true);
  assert.deepEqual(args.unused(), ['Y', 'Z']);
});
