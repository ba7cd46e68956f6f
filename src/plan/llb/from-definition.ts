import { fromBinary } from '@bufbuild/protobuf';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { type Definition, type Op, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { DefinitionError } from './load.ts';
import type { Edge, Located, SourceMap, Vertex } from './vertex.ts';

/**
 * The result of a definition that was made elsewhere, to build on: its ops keep their bytes, metadata and places. Scratch
 * for an empty one.
 * @throws DefinitionError when the definition is no graph
 */
export function definitionEdge(definition: Definition): Edge | undefined {
  const ops = new Map<string, { readonly op: Op; readonly raw: Uint8Array; readonly digest: Digest }>();
  let result: Op['inputs'][number] | undefined;
  for (const raw of definition.def) {
    const digest = digestOf(raw);
    const op = fromBinary(OpSchema, raw);
    ops.set(digest, { op, raw, digest });
    result = op.inputs[0];
  }
  if (definition.def.length === 0) return undefined;
  if (result === undefined) throw new DefinitionError('invalid LLB with no inputs on last vertex');

  const maps = (definition.Source?.infos ?? []).map(
    ({ filename, language, data, definition: loadedBy }): SourceMap => ({
      filename,
      language,
      data,
      ...(loadedBy === undefined ? {} : { definition: loadedBy }),
    }),
  );
  const located = (digest: string): Located[] =>
    (definition.Source?.locations[digest]?.locations ?? []).map(({ sourceIndex, ranges }) => {
      const map = maps[sourceIndex];
      if (map === undefined) throw new DefinitionError(`failed to find source map with index ${sourceIndex}`);
      return { map, ranges };
    });

  const edges = new Map<string, Edge>();
  const edgeOf = ({ digest, index }: Op['inputs'][number]): Edge => {
    const key = `${digest}@${index}`;
    const known = edges.get(key);
    if (known !== undefined) return known;
    const found = ops.get(digest);
    if (found === undefined) throw new DefinitionError(`invalid missing input digest ${digest}`);
    const vertex: Vertex = {
      inputs: () => found.op.inputs.map(edgeOf),
      encode: () => ({
        raw: found.raw,
        digest: found.digest,
        metadata: definition.metadata[digest],
        located: located(digest),
      }),
    };
    const edge = { vertex, output: Number(index) };
    edges.set(key, edge);
    return edge;
  };
  return edgeOf(result);
}
