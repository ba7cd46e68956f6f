/**
 * The JSON text that BuildKit hashes into cache keys: what Go's encoding/json writes for its generated message types.
 * It is not protobuf's JSON: names are those of the `.proto` file, in its order; enums and 64-bit integers are numbers;
 * zero values are left out.
 */
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { goJson } from '../../wire/oci/go-json.ts';

/** Bytes as encoding/json writes a `[]byte`: padded base64 in quotes. */
export function bytesJson(data: Uint8Array): string {
  return `"${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')}"`;
}

/** The text of a message, fields in the order of the `.proto` file. */
export function messageJson<Desc extends DescMessage>(schema: Desc, message: Message): string {
  return messageText(reflect(schema, message as never));
}

function messageText(message: ReflectMessage): string {
  if (message.desc.typeName === 'pb.UserOpt') return userText(message);
  const fields: string[] = [];
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const text = fieldText(message, field);
    if (text !== undefined) fields.push(`${goJson(field.name)}:${text}`);
  }
  return `{${fields.join(',')}}`;
}

/** `UserOpt` marshals itself in Go: the choice stands in an object `User`, and id 0 counts as nothing. */
function userText(message: ReflectMessage): string {
  const [byName, byID] = ['byName', 'byID'].map(name => message.fields.find(field => field.name === name));
  if (byName && message.isSet(byName)) return `{"User":{"byName":${fieldText(message, byName) ?? '{}'}}}`;
  if (byID && message.isSet(byID)) {
    const id = String(message.get(byID));
    return id === '0' ? '{"User":{}}' : `{"User":{"byId":${id}}}`;
  }
  return '{}';
}

function fieldText(message: ReflectMessage, field: DescField): string | undefined {
  switch (field.fieldKind) {
    case 'message':
      return messageText(message.get(field));
    case 'enum':
      return message.get(field) === 0 ? undefined : String(message.get(field));
    case 'scalar':
      return scalarText(field.scalar, message.get(field));
    case 'list': {
      const items = [...message.get(field)];
      if (items.length === 0) return undefined;
      const texts = items.map(item =>
        field.listKind === 'message'
          ? messageText(item as ReflectMessage)
          : field.listKind === 'enum'
            ? String(item)
            : scalarText(field.scalar, item),
      );
      return `[${texts.join(',')}]`;
    }
    case 'map': {
      const entries = [...message.get(field)].map(([key, value]): [string, string] => [
        String(key),
        field.mapKind === 'message'
          ? messageText(value as ReflectMessage)
          : field.mapKind === 'enum'
            ? String(value)
            : scalarText(field.scalar, value),
      ]);
      if (entries.length === 0) return undefined;
      entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      return `{${entries.map(([key, text]) => `${goJson(key)}:${text}`).join(',')}}`;
    }
  }
}

function scalarText(type: ScalarType, value: unknown): string {
  switch (type) {
    case ScalarType.STRING:
      return goJson(String(value));
    case ScalarType.BYTES:
      return bytesJson(value as Uint8Array);
    default:
      return String(value);
  }
}
