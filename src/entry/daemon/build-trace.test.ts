import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTrace } from './build-trace.ts';

const SECOND = 1_000_000_000n;
const at = (seconds: bigint) => ({ seconds, nanos: 500_000_000 });

test('a trace has a span for each step that started, inside the span of the build', () => {
  const text = encodeTrace({ ref: 'abc', started: 10n * SECOND, ended: 20n * SECOND, error: 'exit code: 1' }, [
    { vertexes: [{ digest: 'sha256:a', name: 'first' }] },
    { vertexes: [{ digest: 'sha256:a', name: 'first', started: at(11n) }] },
    {
      vertexes: [
        { digest: 'sha256:a', name: 'first', started: at(11n), completed: at(12n), cached: true },
        { digest: 'sha256:b', name: 'second', started: at(12n), error: 'exit code: 1' },
        { digest: 'sha256:c', name: 'never run' },
      ],
    },
  ]).toString();
  const [first, second, whole, ...rest] = text
    .split(/^(?=\{)/m)
    .map(
      value =>
        JSON.parse(value) as Record<string, unknown> & { SpanContext: { SpanID: string }; Parent: { SpanID: string } },
    );
  assert.ok(first && second && whole);
  assert.equal(rest.length, 0);
  assert.deepEqual(
    [first, second, whole].map(({ Name, StartTime, EndTime, Status }) => [Name, StartTime, EndTime, Status]),
    [
      ['first', '1970-01-01T00:00:11.5Z', '1970-01-01T00:00:12.5Z', { Code: 0, Description: '' }],
      ['second', '1970-01-01T00:00:12.5Z', '1970-01-01T00:00:20Z', { Code: 1, Description: 'exit code: 1' }],
      ['solve', '1970-01-01T00:00:10Z', '1970-01-01T00:00:20Z', { Code: 1, Description: 'exit code: 1' }],
    ],
  );
  assert.equal(first.Parent.SpanID, whole.SpanContext.SpanID);
  assert.equal(second.Parent.SpanID, whole.SpanContext.SpanID);
  assert.notEqual(first.SpanContext.SpanID, second.SpanContext.SpanID);
});
