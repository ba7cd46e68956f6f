/** The key of an op before it is bound to an engine: values only. */
import { type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import type { KeyPart } from '../status/event.ts';
import type { Selector } from './content-selector.ts';

/** The cache map of an op. `json` is the text whose SHA-256 is `digest`. */
export interface OpKey {
  readonly json: string;
  readonly digest: Digest;
  readonly parts: readonly KeyPart[];
  readonly deps: readonly InputKey[];
}

/** What an input adds to a key. */
export interface InputKey {
  /** Digest of the paths that are used; empty when there is none. */
  readonly selector: Digest | '';
  /** The paths behind `selector`, as they were hashed. */
  readonly selectorPaths: readonly string[];
  /** What to checksum of the input, paths absolute and clean; absent when the input has no content key, empty for the whole of it. */
  readonly content?: readonly Selector[];
  /** Whether the input is unpacked before it is hashed or used. */
  readonly unlazy: boolean;
}

/** An input that counts by its own key alone and stays lazy. */
export const lazyInput: InputKey = { selector: '', selectorPaths: [], unlazy: false };

/** An op that cannot be run as it is written. */
export class InvalidOpError extends Error {
  override readonly name = 'InvalidOpError';
}

/** A key of this text. */
export function opKey(json: string, parts: readonly KeyPart[], deps: readonly InputKey[]): OpKey {
  return { json, digest: digestOf(json), parts, deps };
}

/** Texts longer than this are named by their digest in key parts. */
const LONGEST_VALUE = 4096;

/**
 * One part for each field of a message that has a value; nested fields are named with dots.
 * `kind` and `prefix` are those of all of them.
 */
export function fieldParts(kind: string, prefix: string, schema: DescMessage, message: Message): KeyPart[] {
  const parts: KeyPart[] = [];
  collect(reflect(schema, message as never), prefix, (name, value) => parts.push({ kind, name, value }));
  return parts;
}

/** The fields of a message on one line: `readonly=true output=-1`. Fields in `omitted` are left out. */
export function describeFields(schema: DescMessage, message: Message, omitted: readonly string[] = []): string {
  const words: string[] = [];
  collect(reflect(schema, message as never), '', (name, value) => {
    if (!omitted.includes(name)) words.push(`${name}=${value}`);
  });
  return words.join(' ');
}

function collect(message: ReflectMessage, prefix: string, add: (name: string, value: string) => void): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const name = `${prefix}${field.name}`;
    switch (field.fieldKind) {
      case 'message': {
        const nested: ReflectMessage = message.get(field);
        if (nested.fields.some(inner => nested.isSet(inner))) collect(nested, `${name}.`, add);
        else add(name, '');
        break;
      }
      case 'enum': {
        const value: number = message.get(field);
        if (value !== 0) add(name, field.enum.value[value]?.name ?? String(value));
        break;
      }
      case 'scalar':
        add(name, scalarValue(field.scalar, field.name, message.get(field)));
        break;
      case 'list':
        if (field.listKind === 'message') {
          [...message.get(field)].forEach((item, index) => {
            collect(item as ReflectMessage, `${name}.${index}.`, add);
          });
        } else if (message.get(field).size > 0) add(name, [...message.get(field)].join(' '));
        break;
      case 'map':
        for (const [key, value] of message.get(field)) {
          if (field.mapKind === 'message') collect(value as ReflectMessage, `${name}.${key}.`, add);
          else add(`${name}.${key}`, String(value));
        }
        break;
    }
  }
}

function scalarValue(type: ScalarType, name: string, value: unknown): string {
  if (type === ScalarType.BYTES) {
    const data = Buffer.from(value as Uint8Array);
    const text = data.toString('utf8');
    return data.length <= LONGEST_VALUE && !text.includes('\ufffd') ? text : digestOf(data);
  }
  if (name === 'mode' && Number(value) >= 0) return Number(value).toString(8).padStart(4, '0');
  return String(value);
}
