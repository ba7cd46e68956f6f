import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { Definition, Input, Location, Op, OpMetadata } from '../../wire/proto/gen/pb/ops_pb.ts';

/** A step of a graph that is being planned. Its digest is known once the graph is written ({@link marshalGraph}). */
export interface Vertex {
  /** The edges that this step reads, in the order in which a definition lists them. Asked for only when the graph is written. */
  inputs(): readonly Edge[];
  /** The op, given the digests of the inputs. */
  encode(context: EncodeContext): EncodedVertex;
}

/** One output of a vertex. No edge at all is scratch, the empty tree. */
export interface Edge {
  readonly vertex: Vertex;
  readonly output: number;
}

/** What a graph as a whole gives to its vertices. */
export interface GraphOptions {
  /** For steps that name none and stand on none. */
  readonly platform: Platform;
  /** Filters on the worker, before those of a vertex. */
  readonly filter?: readonly string[];
  /** What tells local sources without a session apart from those of other clients; random unless given. */
  readonly uniqueID?: string;
  /** Whether the server knows a capability. Without it nothing is assumed of the server. */
  readonly supports?: (capability: string) => boolean;
}

export interface EncodeContext extends GraphOptions {
  readonly uniqueID: string;
  /** The edge as an input of an op. */
  input(edge: Edge): Input;
}

/** What a step says of itself. Only platform and filter are part of its digest. */
export interface VertexOptions {
  /** What progress shows. */
  readonly name?: string;
  readonly description?: Readonly<Record<string, string>>;
  /** Neither look the step up in caches nor let it be found. */
  readonly ignoreCache?: boolean;
  /** Whether the result is exported to caches: always or never; the build's choice unless said. */
  readonly exportCache?: boolean;
  readonly progressGroup?: ProgressGroup;
  readonly linuxResources?: LinuxResources;
  readonly platform?: Platform;
  readonly filter?: readonly string[];
  readonly locations?: readonly SourceLocation[];
}

/** Steps that progress shows as one. */
export interface ProgressGroup {
  readonly id: string;
  readonly name: string;
  readonly weak?: boolean;
}

/** Limits of a step: memory in bytes, CPU times in microseconds. */
export interface LinuxResources {
  readonly memory?: bigint;
  readonly memorySwap?: bigint;
  readonly cpuShares?: bigint;
  readonly cpuPeriod?: bigint;
  readonly cpuQuota?: bigint;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

/** A file that steps were planned from. */
export interface SourceMap {
  readonly filename: string;
  readonly language: string;
  readonly data: Uint8Array;
  /** The graph that loaded the file. */
  readonly definition?: Definition;
}

/** Lines of a file, from 1, that a step comes from. */
export interface SourceLocation {
  readonly map: SourceMap;
  readonly lines: readonly number[];
}

/** A vertex as it enters a definition. */
export type EncodedVertex =
  | { readonly op: Op; readonly capabilities: readonly string[]; readonly options: VertexOptions }
  | {
      readonly raw: Uint8Array;
      readonly digest: Digest;
      readonly metadata: OpMetadata | undefined;
      readonly located: readonly Located[];
    };

/** A location of a definition that was read, with the file that its index means there. */
export interface Located {
  readonly map: SourceMap;
  readonly ranges: Location['ranges'];
}
