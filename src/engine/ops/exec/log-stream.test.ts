import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logLimits, logStream } from './log-stream.ts';

test('what does not fit is clipped, said once, and its end sent again after a failure', () => {
  const sent: string[] = [];
  const stream = logStream(
    { size: 10, speed: -1 },
    () => 1,
    data => sent.push(Buffer.from(data).toString()),
  );
  for (const text of ['12345', '67890abc', 'def']) stream.write(Buffer.from(text));
  assert.deepEqual(sent, ['12345', '67890', '\n[output clipped, log limit 10B reached]\n']);
  stream.flush();
  assert.equal(sent.at(-1), '67890abcdef');
});

test('a slow enough stream goes on', () => {
  const sent: string[] = [];
  let seconds = 0.5;
  const stream = logStream(
    { size: 1 << 20, speed: 1536 },
    () => seconds,
    data => sent.push(`${data.length}`),
  );
  stream.write(Buffer.alloc(2000));
  seconds = 5;
  stream.write(Buffer.alloc(100));
  assert.deepEqual(sent, ['1536', String('\n[output clipped, log limit 1.5KiB/s reached]\n'.length), '100']);
});

test('limits come from the environment', () => {
  assert.deepEqual(logLimits({}), { size: 2097152, speed: 204800 });
  assert.deepEqual(logLimits({ BUILDKIT_STEP_LOG_MAX_SIZE: '-1', BUILDKIT_STEP_LOG_MAX_SPEED: 'x' }), {
    size: -1,
    speed: 204800,
  });
});
