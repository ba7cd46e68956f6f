/**
 * The bytes of a message as they are hashed: fields by number, members of a oneof last, maps sorted by key. Messages written
 * in any other order are equal messages with other digests (BuildKit marshals with Go's deterministic encoder).
 */
import type { DescField, DescMessage, DescOneof, MessageShape } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { compareBytewise } from './order.ts';
import { makeReverseWriter } from './reverse-writer.ts';

/** What has no bytes: a text that is not valid Unicode, a field of a kind that is never hashed, a step without a command. */
export class MarshalError extends Error {
  override readonly name = 'MarshalError';
}

type Fields = Record<string, unknown> & { readonly $unknown?: readonly Unknown[] };
interface Unknown {
  readonly no: number;
  readonly wireType: number;
  readonly data: Uint8Array;
}
/** The fields of a message in the reverse of the order in which they stand. */
interface Plan {
  readonly plain: readonly DescField[];
  readonly oneofs: readonly { readonly oneof: DescOneof; readonly members: ReadonlyMap<string, DescField> }[];
}

const VARINT = 0;
const LENGTH_DELIMITED = 2;

const plans = new WeakMap<DescMessage, Plan>();
const out = makeReverseWriter();

/** The message's bytes, deterministic: equal messages have equal bytes. Throws {@link MarshalError} on invalid Unicode. */
export function marshalMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  out.begin();
  writeMessage(planOf(schema), message as Fields);
  return out.finish();
}

function planOf(schema: DescMessage): Plan {
  const known = plans.get(schema);
  if (known !== undefined) return known;
  const plan: Plan = {
    plain: schema.fields.filter(field => field.oneof === undefined).sort((a, b) => b.number - a.number),
    oneofs: schema.oneofs.toReversed().map(oneof => ({
      oneof,
      members: new Map(oneof.fields.map(field => [field.localName, field])),
    })),
  };
  plans.set(schema, plan);
  return plan;
}

function writeMessage(plan: Plan, message: Fields): void {
  const unknown = message.$unknown ?? [];
  for (let i = unknown.length - 1; i >= 0; i--) {
    const field = unknown[i];
    if (field === undefined) continue;
    out.bytes(field.data);
    writeTag(field.no, field.wireType);
  }
  for (const { oneof, members } of plan.oneofs) {
    const chosen = message[oneof.localName] as { readonly case: string | undefined; readonly value?: unknown };
    const field = chosen.case === undefined ? undefined : members.get(chosen.case);
    // A member that is set is written even when it is zero.
    if (field !== undefined) writeSingle(field, chosen.value);
  }
  for (const field of plan.plain) writeField(field, message[field.localName]);
}

function writeField(field: DescField, value: unknown): void {
  switch (field.fieldKind) {
    case 'list':
      writeList(field, value as readonly unknown[]);
      return;
    case 'map':
      writeMap(field, value as Readonly<Record<string, unknown>>);
      return;
    default:
      if (!isZero(value)) writeSingle(field, value);
  }
}

function isZero(value: unknown): boolean {
  return (
    value === undefined ||
    value === 0 ||
    value === 0n ||
    value === false ||
    value === '' ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeList(field: DescField & { fieldKind: 'list' }, values: readonly unknown[]): void {
  if (values.length === 0) return;
  const end = out.length;
  for (let i = values.length - 1; i >= 0; i--) {
    if (field.packed) writeScalar(field, values[i]);
    else writeSingle(field, values[i]);
  }
  if (field.packed) writePrefix(field.number, end);
}

function writeMap(field: DescField & { fieldKind: 'map' }, map: Readonly<Record<string, unknown>>): void {
  for (const key of Object.keys(map).sort(compareBytewise).reverse()) {
    const end = out.length;
    writeSingle(field, map[key], 2);
    writeText(key);
    writeTag(1, LENGTH_DELIMITED);
    writePrefix(field.number, end);
  }
}

/** One value with its tag, whatever it is: an entry of a list, a value of a map, a member of a oneof. */
function writeSingle(field: DescField, value: unknown, number: number = field.number): void {
  if (field.message !== undefined) {
    const end = out.length;
    writeMessage(planOf(field.message), value as Fields);
    writePrefix(number, end);
    return;
  }
  writeScalar(field, value);
  writeTag(number, field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES ? LENGTH_DELIMITED : VARINT);
}

function writeScalar({ parent, name, scalar = ScalarType.INT32 }: DescField, value: unknown): void {
  switch (scalar) {
    case ScalarType.STRING:
      writeText(value as string);
      break;
    case ScalarType.BYTES:
      out.bytes(value as Uint8Array);
      out.varint((value as Uint8Array).length);
      break;
    case ScalarType.BOOL:
      out.varint(value ? 1 : 0);
      break;
    case ScalarType.INT64:
    case ScalarType.UINT64:
      out.varint64(value as bigint);
      break;
    case ScalarType.INT32:
    case ScalarType.UINT32:
      // Negative numbers are written as 64-bit ones.
      if ((value as number) < 0) out.varint64(BigInt(value as number));
      else out.varint(value as number);
      break;
    default:
      throw new MarshalError(`${parent.typeName}.${name}: a kind of number that is never part of a build graph`);
  }
}

function writeText(text: string): void {
  if (!text.isWellFormed()) {
    throw new MarshalError(`${JSON.stringify(text)} is not valid Unicode and cannot be part of a build graph`);
  }
  const end = out.length;
  out.text(text);
  out.varint(out.length - end);
}

function writePrefix(number: number, end: number): void {
  out.varint(out.length - end);
  writeTag(number, LENGTH_DELIMITED);
}

function writeTag(number: number, wireType: number): void {
  out.varint(number * 8 + wireType);
}
