import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChmod } from './chmod.ts';

test('a mode is octal digits or symbols', () => {
  assert.equal(parseChmod('0755'), 0o755);
  assert.equal(parseChmod('7777'), 0o7777);
  for (const text of ['u+x', 'a=rX,u+w', '+x', '=', 'u=g', 'go-rwx,+t']) assert.equal(parseChmod(text), text);
});

test('what is neither is refused, what begins with a digit as a number', () => {
  for (const text of ['888', '10000', '64a', '0o755']) {
    assert.throws(() => parseChmod(text), {
      message: `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    });
  }
  for (const text of ['rwx', 'u+q', 'u=rw;g=r']) assert.throws(() => parseChmod(text), { message: 'invalid syntax' });
});
