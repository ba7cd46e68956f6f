import { randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import {
  type Definition,
  DefinitionSchema,
  InputSchema,
  type OpMetadata,
  OpMetadataSchema,
  OpSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { marshalMessage } from './marshal.ts';
import { collectSources } from './source-map.ts';
import type { Edge, EncodeContext, EncodedVertex, GraphOptions, Vertex, VertexOptions } from './vertex.ts';

/** Key of a description: what progress shows. */
const CUSTOM_NAME = 'llb.customname';

/** A graph in the form in which it travels. */
export interface MarshalledGraph {
  /** Empty for scratch, not even with a terminal. */
  readonly definition: Definition;
  /** The digest of each vertex that is in the graph; equal vertices share one. */
  readonly digests: ReadonlyMap<Vertex, Digest>;
}

/**
 * Writes the graph below an edge: depth first, inputs before their users, equal steps once with their metadata merged, the
 * terminal last.
 * @throws MarshalError when a text of an op is not valid Unicode
 */
export function marshalGraph(result: Edge | undefined, options: GraphOptions): MarshalledGraph {
  const definition = create(DefinitionSchema);
  const digests = new Map<Vertex, Digest>();
  if (result === undefined) return { definition, digests };
  const input: EncodeContext['input'] = edge => {
    const digest = digests.get(edge.vertex) ?? '';
    return create(InputSchema, { digest, index: BigInt(edge.output) });
  };
  const context: EncodeContext = { ...options, uniqueID: options.uniqueID ?? uniqueID(), input };
  const sources = collectSources();
  const seen = new Set<Digest>();
  for (const vertex of inOrder(result.vertex)) {
    const encoded = vertex.encode(context);
    const raw = 'raw' in encoded ? encoded.raw : marshalMessage(OpSchema, encoded.op);
    const digest = 'raw' in encoded ? encoded.digest : digestOf(raw);
    digests.set(vertex, digest);
    definition.metadata[digest] = mergeMetadata(definition.metadata[digest], metadataOf(encoded));
    sources.add(digest, encoded);
    if (seen.has(digest)) continue;
    seen.add(digest);
    definition.def.push(raw);
  }
  const terminal = marshalMessage(OpSchema, create(OpSchema, { inputs: [input(result)] }));
  definition.def.push(terminal);
  definition.metadata[digestOf(terminal)] = terminalMetadata(Object.values(definition.metadata));
  definition.Source = sources.finish();
  return { definition, digests };
}

/** Inputs before users; each vertex once. Graphs may be deeper than the call stack. */
function* inOrder(last: Vertex): Generator<Vertex> {
  const begun = new Set<Vertex>([last]);
  const stack = [{ vertex: last, inputs: last.inputs(), next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const below = top.inputs[top.next++]?.vertex;
    if (below === undefined) {
      stack.pop();
      yield top.vertex;
    } else if (!begun.has(below)) {
      begun.add(below);
      stack.push({ vertex: below, inputs: below.inputs(), next: 0 });
    }
  }
}

function uniqueID(): string {
  return BigInt(`0x${randomBytes(16).toString('hex')}`)
    .toString(36)
    .padStart(25, '0')
    .slice(-25);
}

function metadataOf(encoded: EncodedVertex): OpMetadata {
  if ('raw' in encoded) return encoded.metadata ?? create(OpMetadataSchema);
  const { options, capabilities } = encoded;
  return create(OpMetadataSchema, {
    ignoreCache: options.ignoreCache ?? false,
    description: descriptionOf(options),
    ...(options.exportCache === undefined ? {} : { exportCache: { Value: options.exportCache } }),
    ...(options.progressGroup === undefined ? {} : { progressGroup: { weak: false, ...options.progressGroup } }),
    ...(options.linuxResources === undefined ? {} : { linuxResources: options.linuxResources }),
    caps: Object.fromEntries(capabilities.map(name => [name, true])),
  });
}

function descriptionOf({ name, description = {} }: VertexOptions): Record<string, string> {
  return name === undefined ? { ...description } : { ...description, [CUSTOM_NAME]: name };
}

/** The metadata of one step that was planned twice: what comes later wins, ignoring the cache always does. */
function mergeMetadata(before: OpMetadata | undefined, now: OpMetadata): OpMetadata {
  if (before === undefined) return now;
  return create(OpMetadataSchema, {
    ignoreCache: before.ignoreCache || now.ignoreCache,
    description: { ...before.description, ...now.description },
    caps: { ...before.caps, ...now.caps },
    ...pickSet('exportCache', now.exportCache ?? before.exportCache),
    ...pickSet('progressGroup', now.progressGroup ?? before.progressGroup),
    ...pickSet('linuxResources', now.linuxResources ?? before.linuxResources),
  });
}

function pickSet<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value });
}

function terminalMetadata(all: readonly OpMetadata[]): OpMetadata {
  const caps: Record<string, boolean> = { constraints: true, platform: true };
  if (all.some(one => one.ignoreCache)) caps['meta.ignorecache'] = true;
  if (all.some(one => Object.keys(one.description).length > 0)) caps['meta.description'] = true;
  if (all.some(one => one.exportCache !== undefined)) caps['meta.exportcache'] = true;
  return create(OpMetadataSchema, { caps });
}
