/**
 * The bytes of a message as they are hashed: fields by number, members of a oneof last, maps sorted by key. Messages written
 * in any other order are equal messages with other digests (BuildKit marshals with Go's deterministic encoder).
 */
import type { DescField, DescMessage, DescOneof, MessageShape } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { compareBytewise } from './order.ts';

/** A message that has no bytes: a text in it is not valid Unicode. */
export class MarshalError extends Error {
  override readonly name = 'MarshalError';
}

/** The message's bytes, deterministic: equal messages have equal bytes. Throws {@link MarshalError} on invalid Unicode. */
export function marshalMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  const writer = new BinaryWriter();
  writeMessage(writer, planOf(schema), message as Fields);
  return writer.finish();
}

type Fields = Record<string, unknown> & { readonly $unknown?: readonly Unknown[] };
interface Unknown {
  readonly no: number;
  readonly wireType: number;
  readonly data: Uint8Array;
}
interface Plan {
  readonly plain: readonly DescField[];
  readonly oneofs: readonly { readonly oneof: DescOneof; readonly members: ReadonlyMap<string, DescField> }[];
}

const plans = new WeakMap<DescMessage, Plan>();

function planOf(schema: DescMessage): Plan {
  const known = plans.get(schema);
  if (known !== undefined) return known;
  const plan: Plan = {
    plain: schema.fields.filter(field => field.oneof === undefined).sort((a, b) => a.number - b.number),
    oneofs: schema.oneofs.map(oneof => ({
      oneof,
      members: new Map(oneof.fields.map(field => [field.localName, field])),
    })),
  };
  plans.set(schema, plan);
  return plan;
}

function writeMessage(writer: BinaryWriter, plan: Plan, message: Fields): void {
  for (const field of plan.plain) writeField(writer, field, message[field.localName]);
  for (const { oneof, members } of plan.oneofs) {
    const chosen = message[oneof.localName] as { readonly case: string | undefined; readonly value?: unknown };
    const field = chosen.case === undefined ? undefined : members.get(chosen.case);
    // A member that is set is written even when it is zero.
    if (field !== undefined) writeSingle(writer, field, chosen.value);
  }
  for (const { no, wireType, data } of message.$unknown ?? []) writer.tag(no, wireType).raw(data);
}

function writeField(writer: BinaryWriter, field: DescField, value: unknown): void {
  switch (field.fieldKind) {
    case 'scalar':
      if (isZero(value)) return;
      break;
    case 'enum':
      if (value === 0) return;
      break;
    case 'message':
      if (value === undefined) return;
      break;
    case 'list':
      writeList(writer, field, value as readonly unknown[]);
      return;
    case 'map':
      writeMap(writer, field, value as Readonly<Record<string, unknown>>);
      return;
  }
  writeSingle(writer, field, value);
}

function isZero(value: unknown): boolean {
  return (
    value === 0 ||
    value === 0n ||
    value === false ||
    value === '' ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeList(writer: BinaryWriter, field: DescField & { fieldKind: 'list' }, values: readonly unknown[]): void {
  if (values.length === 0) return;
  if (!field.packed) {
    for (const value of values) writeSingle(writer, field, value);
    return;
  }
  writer.tag(field.number, WireType.LengthDelimited).fork();
  const type = field.listKind === 'scalar' ? field.scalar : ScalarType.INT32;
  for (const value of values) writeScalar(writer, type, value);
  writer.join();
}

function writeMap(
  writer: BinaryWriter,
  field: DescField & { fieldKind: 'map' },
  map: Readonly<Record<string, unknown>>,
): void {
  if (field.mapKey !== ScalarType.STRING)
    throw new MarshalError(`${field.parent.typeName}: only maps by text are hashed`);
  for (const key of Object.keys(map).sort(compareBytewise)) {
    writer.tag(field.number, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited);
    writeScalar(writer, ScalarType.STRING, key);
    writeSingle(writer, field, map[key], 2);
    writer.join();
  }
}

/** One value with its tag, whatever it is: an entry of a list, a value of a map, a member of a oneof. */
function writeSingle(writer: BinaryWriter, field: DescField, value: unknown, number: number = field.number): void {
  if (field.message !== undefined) {
    writer.tag(number, WireType.LengthDelimited).fork();
    writeMessage(writer, planOf(field.message), value as Fields);
    writer.join();
    return;
  }
  const type = field.scalar ?? ScalarType.INT32;
  writer.tag(number, wireTypeOf(type));
  writeScalar(writer, type, value);
}

const WRITERS = {
  [ScalarType.DOUBLE]: 'double',
  [ScalarType.FLOAT]: 'float',
  [ScalarType.INT64]: 'int64',
  [ScalarType.UINT64]: 'uint64',
  [ScalarType.INT32]: 'int32',
  [ScalarType.FIXED64]: 'fixed64',
  [ScalarType.FIXED32]: 'fixed32',
  [ScalarType.BOOL]: 'bool',
  [ScalarType.STRING]: 'string',
  [ScalarType.BYTES]: 'bytes',
  [ScalarType.UINT32]: 'uint32',
  [ScalarType.SFIXED32]: 'sfixed32',
  [ScalarType.SFIXED64]: 'sfixed64',
  [ScalarType.SINT32]: 'sint32',
  [ScalarType.SINT64]: 'sint64',
} as const;

function writeScalar(writer: BinaryWriter, type: ScalarType, value: unknown): void {
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw new MarshalError(`${JSON.stringify(value)} is not valid Unicode and cannot be part of a build graph`);
  }
  writer[WRITERS[type]](value as never);
}

function wireTypeOf(type: ScalarType): WireType {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WireType.Bit64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}
