import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { PacketSchema } from '../proto/gen/fsutil/wire_pb.ts';
import { BytesMessageSchema } from '../proto/gen/session/filesync_pb.ts';
import { bytesMessage, encodeBytes } from './bytes-message.ts';
import { decodePacket, encodePacket, type Packet } from './transfer/packet.ts';

const uint32 = fc.nat(2 ** 31 - 1).map(n => n * 2 + 1);
const name = fc.string({ unit: fc.constantFrom('a', 'Z', '/', ' ', '.') });

const stat = fc.record({
  path: name,
  mode: uint32,
  uid: uint32,
  gid: uint32,
  size: fc.nat(Number.MAX_SAFE_INTEGER),
  modTime: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
  linkname: name,
  devmajor: fc.nat(4095),
  devminor: fc.nat(2 ** 20),
  xattrs: fc.dictionary(fc.constantFrom('user.a', 'user.b'), fc.uint8Array()).map(all => new Map(Object.entries(all))),
});

const packet: fc.Arbitrary<Packet> = fc.oneof(
  stat.map(s => ({ type: 'stat' as const, stat: s })),
  fc.constant({ type: 'end' as const }),
  uint32.map(id => ({ type: 'request' as const, id })),
  fc.record({ type: fc.constant('data' as const), id: uint32, data: fc.uint8Array({ maxLength: 300 }) }),
  fc.constant({ type: 'finish' as const }),
  fc.string().map(message => ({ type: 'error' as const, message })),
);

test('packets are those of the generated codec, and come back as they were', () => {
  fc.assert(
    fc.property(packet, sent => {
      const bytes = encodePacket(sent);
      const message = fromBinary(PacketSchema, bytes);
      assert.equal(message.$unknown, undefined);
      assert.deepEqual(Buffer.from(toBinary(PacketSchema, message)), Buffer.from(bytes));
      const read = decodePacket(bytes);
      assert.deepEqual(Buffer.from(encodePacket(read)), Buffer.from(bytes));
      assert.equal(read.type, sent.type);
      if (read.type === 'stat' && sent.type === 'stat') {
        const { xattrs: _, ...rest } = read.stat;
        assert.deepEqual(rest, Object.fromEntries(Object.entries(sent.stat).filter(([key]) => key !== 'xattrs')));
      }
    }),
  );
});

test('rubbish is refused, never taken for something else by crashing', () => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      for (const decode of [decodePacket, bytesMessage.decode]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }
    }),
  );
});

test('messages of bytes are those of the generated codec', () => {
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 300_000]) {
    const data = Buffer.alloc(length, 'x');
    const expected = Buffer.from(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data })));
    assert.ok(Buffer.from(bytesMessage.encode(data)).equals(expected), String(length));
    const half = length >> 1;
    assert.ok(Buffer.from(encodeBytes([data.subarray(0, half), data.subarray(half)], length)).equals(expected));
    assert.ok(Buffer.from(bytesMessage.decode(expected)).equals(data));
  }
});
