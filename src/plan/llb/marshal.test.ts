import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { JsonValue } from '@bufbuild/protobuf';
import { create, fromBinary, fromJson } from '@bufbuild/protobuf';
import { digestOf } from '../../wire/oci/digest.ts';
import { OpSchema, PlatformSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { MarshalError, marshalMessage } from './marshal.ts';

interface OpVector {
  readonly name: string;
  readonly digest: string;
  readonly op: JsonValue;
  readonly raw: string;
}

const vectors: readonly OpVector[] = JSON.parse(
  readFileSync(new URL('../../../test/vectors/llb/ops.json', import.meta.url), 'utf8'),
);

test(`an op has the bytes and the digest that BuildKit gives it: ${vectors.length} of ${vectors.length} ops`, () => {
  for (const { name, digest, op, raw } of vectors) {
    const bytes = marshalMessage(OpSchema, fromJson(OpSchema, op));
    assert.equal(Buffer.from(bytes).toString('base64'), raw, name);
    assert.equal(digestOf(bytes), digest, name);
  }
});

test('an op that was read keeps its bytes, fields of later versions included', () => {
  const platform = Buffer.from([
    ...marshalMessage(PlatformSchema, create(PlatformSchema, { OS: 'linux' })),
    0xa2,
    0x06,
    1,
    7,
  ]);
  assert.deepEqual(Buffer.from(marshalMessage(PlatformSchema, fromBinary(PlatformSchema, platform))), platform);
});

test('text that is no Unicode is refused', () => {
  assert.throws(() => marshalMessage(PlatformSchema, create(PlatformSchema, { OS: '\ud800' })), MarshalError);
});
