import { fromBinary, toJson } from '@bufbuild/protobuf';
import { digestOf } from '../../../wire/oci/digest.ts';
import { type Definition, type Op, OpSchema, type Source, SourceSchema } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { mapJson, metadataJson } from './graph-json.ts';

/** A graph as the result of `frontend.convertllb` gives it: ops by digest, as `protojson` writes them. */
export function convertJson({ def, metadata, Source: source }: Definition): unknown {
  const ops = Object.fromEntries(def.map(raw => [digestOf(raw), fromBinary(OpSchema, raw)]));
  return {
    def: mapJson(ops, opJson),
    metadata: metadataJson(metadata),
    source: source ? sourceJson(source) : {},
  };
}

function opJson(op: Op): unknown {
  if (op.op.case !== 'source' && op.op.case !== 'build') return toJson(OpSchema, op);
  const { value } = op.op;
  value.attrs = sortedKeys(value.attrs);
  return toJson(OpSchema, op);
}

function sourceJson(source: Source): unknown {
  const infos = source.infos.map(info =>
    info.definition ? { ...info, definition: { ...info.definition, metadata: sortedMetadata(info.definition) } } : info,
  );
  return toJson(SourceSchema, { ...source, locations: sortedKeys(source.locations), infos });
}

function sortedMetadata({ metadata }: Definition): Definition['metadata'] {
  const entries = Object.entries(sortedKeys(metadata)).map(
    ([digest, one]) =>
      [digest, { ...one, description: sortedKeys(one.description), caps: sortedKeys(one.caps) }] as const,
  );
  return Object.fromEntries(entries);
}

function sortedKeys<Value>(map: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
