import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVector } from '../proto/capture-fixture.ts';
import { Code, codeName } from './code.ts';
import { fromRawHeaders } from './metadata.ts';
import { readTrailers, StatusError, statusTrailers, toStatusError } from './status.ts';

interface RecordedError {
  readonly case: string;
  readonly 'grpc-status': string;
  readonly 'grpc-message': string;
  readonly 'grpc-status-details-bin': string;
  readonly statusHex: string;
}

test('recorded trailers are read, and written the same', t => {
  const { errors } = readVector('errors') as { readonly errors: readonly RecordedError[] };
  for (const recorded of errors) {
    const raw = ['grpc-status', 'grpc-message', 'grpc-status-details-bin'] as const;
    const error = readTrailers(fromRawHeaders(raw.flatMap(name => [name, recorded[name]])));
    assert.ok(error, recorded.case);
    const trailers = statusTrailers(error);
    // Where the recording lost all details it kept the header, which is not sent without any.
    const names = error.details.length > 0 ? raw : raw.slice(0, 2);
    for (const name of names) assert.equal(trailers[name], recorded[name], `${recorded.case}: ${name}`);
    for (const { typeUrl, value } of error.details) {
      assert.match(typeUrl, /^github\.com\/moby\/buildkit\/.*\+json$/);
      JSON.parse(Buffer.from(value).toString());
    }
  }
  t.diagnostic(`${errors.length} of ${errors.length} errors`);
});

test('messages travel percent-encoded', () => {
  const message = 'a\nb 100% ü\u{1f600}~';
  const trailers = statusTrailers(new StatusError(Code.notFound, message));
  assert.equal(trailers['grpc-message'], 'a%0Ab 100%25 %C3%BC%F0%9F%98%80~');
  const read = readTrailers(
    new Map([
      ['grpc-status', ['5']],
      ['grpc-message', [String(trailers['grpc-message'])]],
    ]),
  );
  assert.equal(read?.message, message);
  assert.equal(
    readTrailers(
      new Map([
        ['grpc-status', ['2']],
        ['grpc-message', ['50%, %zz']],
      ]),
    )?.message,
    '50%, %zz',
  );
});

test('details that cannot be decoded leave code and message', () => {
  const error = readTrailers(
    new Map([
      ['grpc-status', ['99']],
      ['grpc-status-details-bin', ['////']],
    ]),
  );
  assert.deepEqual([error?.code, error?.message, error?.details], [Code.unknown, '', []]);
});

test('what is thrown becomes a status', () => {
  const abort = new AbortController();
  abort.abort();
  assert.equal(toStatusError(abort.signal.reason).code, Code.canceled);
  assert.equal(toStatusError(new TypeError('x')).code, Code.unknown);
  assert.equal(toStatusError('x').message, 'x');
  assert.deepEqual([Code.ok, Code.notFound, Code.canceled, 99].map(codeName), [
    'OK',
    'NotFound',
    'Canceled',
    'Code(99)',
  ]);
});
