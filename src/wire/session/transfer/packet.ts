import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { varintLength, writeVarint } from '../bytes-message.ts';
import type { FileStat } from './file-stat.ts';

/** A message of a file transfer: `fsutil.types.Packet`. */
export type Packet =
  | { readonly type: 'stat'; readonly stat: FileStat }
  /** No more files follow. */
  | { readonly type: 'end' }
  /** Asks for the contents of the file with this position in the list. */
  | { readonly type: 'request'; readonly id: number }
  /** Some of the contents; none at their end. */
  | { readonly type: 'data'; readonly id: number; readonly data: Uint8Array }
  | { readonly type: 'finish' }
  | { readonly type: 'error'; readonly message: string };

const Type = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const;
const noData = new Uint8Array();

/**
 * The bytes of a packet. The generated codec would take names for UTF-8, which they need not be, and copy data twice.
 */
export function encodePacket(packet: Packet): Uint8Array {
  switch (packet.type) {
    case 'stat':
      return new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(encodeStat(packet.stat)).finish();
    case 'end':
      return noData;
    case 'request':
      return encodeHeader(Type.request, packet.id, noData);
    case 'data':
      return encodeHeader(Type.data, packet.id, packet.data);
    case 'finish':
      return encodeHeader(Type.finish, 0, noData);
    case 'error':
      return encodeHeader(Type.error, 0, Buffer.from(packet.message));
  }
}

function encodeHeader(type: number, id: number, data: Uint8Array): Uint8Array {
  const idLength = id === 0 ? 0 : 1 + varintLength(id);
  const dataLength = data.length === 0 ? 0 : 1 + varintLength(data.length) + data.length;
  const message = Buffer.allocUnsafe(2 + idLength + dataLength);
  message[0] = 0x08;
  message[1] = type;
  let at = 2;
  if (id !== 0) {
    message[at++] = 0x18;
    at = writeVarint(message, at, id);
  }
  if (data.length > 0) {
    message[at++] = 0x22;
    message.set(data, writeVarint(message, at, data.length));
  }
  return message;
}

/** A `fsutil.types.Stat`. */
export function encodeStat(stat: FileStat): Uint8Array {
  const writer = new BinaryWriter();
  const bytes = (field: number, value: string): void => {
    if (value !== '') writer.tag(field, WireType.LengthDelimited).bytes(Buffer.from(value, 'latin1'));
  };
  const varint = (field: number, value: number): void => {
    if (value !== 0) writer.tag(field, WireType.Varint).int64(value);
  };
  bytes(1, stat.path);
  varint(2, stat.mode);
  varint(3, stat.uid);
  varint(4, stat.gid);
  varint(5, stat.size);
  if (stat.modTime !== 0n) writer.tag(6, WireType.Varint).int64(stat.modTime);
  bytes(7, stat.linkname);
  varint(8, stat.devmajor);
  varint(9, stat.devminor);
  for (const [name, value] of stat.xattrs) {
    writer.tag(10, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name).tag(2, WireType.LengthDelimited).bytes(value).join();
  }
  return writer.finish();
}

/** Reads a packet. Throws for bytes that are none. */
export function decodePacket(bytes: Uint8Array): Packet {
  const reader = new BinaryReader(bytes);
  let type: number = Type.stat;
  let stat: FileStat | undefined;
  let id = 0;
  let data: Uint8Array = noData;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) type = reader.int32();
    else if (field === 2) stat = decodeStat(reader.bytes());
    else if (field === 3) id = reader.uint32();
    else if (field === 4) data = reader.bytes();
    else reader.skip(wireType, field);
  }
  switch (type) {
    case Type.stat:
      return stat === undefined ? { type: 'end' } : { type: 'stat', stat };
    case Type.request:
      return { type: 'request', id };
    case Type.data:
      return { type: 'data', id, data };
    case Type.finish:
      return { type: 'finish' };
    case Type.error:
      return { type: 'error', message: asBuffer(data).toString() };
    default:
      throw new RangeError(`unknown packet type ${type}`);
  }
}

/** Reads a `fsutil.types.Stat`. Throws for bytes that are none. */
function decodeStat(bytes: Uint8Array): FileStat {
  const reader = new BinaryReader(bytes);
  const stat = {
    path: '',
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modTime: 0n,
    linkname: '',
    devmajor: 0,
    devminor: 0,
    xattrs: noXattrs as Map<string, Uint8Array>,
  };
  const text = (): string => asBuffer(reader.bytes()).toString('latin1');
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) stat.path = text();
    else if (field === 2) stat.mode = reader.uint32();
    else if (field === 3) stat.uid = reader.uint32();
    else if (field === 4) stat.gid = reader.uint32();
    else if (field === 5) stat.size = Number(reader.int64());
    else if (field === 6) stat.modTime = BigInt(reader.int64());
    else if (field === 7) stat.linkname = text();
    else if (field === 8) stat.devmajor = Number(reader.int64());
    else if (field === 9) stat.devminor = Number(reader.int64());
    else if (field === 10) stat.xattrs = new Map([...stat.xattrs, decodeXattr(reader.bytes())]);
    else reader.skip(wireType, field);
  }
  return stat;
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function decodeXattr(bytes: Uint8Array): [name: string, value: Uint8Array] {
  const reader = new BinaryReader(bytes);
  let name = '';
  let value: Uint8Array = noData;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) name = asBuffer(reader.bytes()).toString();
    else if (field === 2) value = reader.bytes();
    else reader.skip(wireType, field);
  }
  return [name, value];
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
