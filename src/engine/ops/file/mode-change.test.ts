import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModeSyntaxError, parseModeChange } from './mode-change.ts';

test('symbolic modes change each file by its own mode', () => {
  const cases: [text: string, mode: number, directory: boolean, expected: number][] = [
    ['u=rwX,go=rX', 0o640, false, 0o644],
    ['u=rwX,go=rX', 0o700, true, 0o755],
    ['u=rwX,go=rX', 0o4711, false, 0o755],
    ['+x', 0o644, false, 0o755],
    ['a-w', 0o666, false, 0o444],
    ['go=', 0o4777, false, 0o4700],
    ['g=u', 0o740, false, 0o770],
    ['go=u-w', 0o640, false, 0o644],
    ['u+s,g+s', 0o755, false, 0o6755],
    ['o+s', 0o755, false, 0o755],
    ['+t', 0o755, true, 0o1755],
    ['=rw,+X', 0o755, false, 0o777],
    ['=rw', 0o1755, false, 0o1666],
    ['640', 0o755, false, 0o640],
    ['-X', 0o755, false, 0o644],
  ];
  for (const [text, mode, directory, expected] of cases)
    assert.equal(parseModeChange(text)(mode, directory).toString(8), expected.toString(8), text);
});

test('what is no mode is refused', () => {
  for (const text of ['', 'rwx', 'u', 'u=q', ',', 'u=r,', '888', '17777', 'z+x'])
    assert.throws(() => parseModeChange(text), ModeSyntaxError, text);
});
