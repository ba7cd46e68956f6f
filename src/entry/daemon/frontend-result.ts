import type { FrontendCall } from '../../engine/exporter/provenance-request.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import type { CacheKey } from '../../engine/solver/key.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Attestation } from '../../wire/proto/gen/control/gateway_pb.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';

/** Files that a build made, and the keys they are known by. */
interface SolvedRef {
  readonly result: Ref;
  readonly keys: readonly CacheKey<Ref>[];
}

/** Files that a frontend speaks of. They are made when somebody needs them, once. */
export interface ResultRef {
  /** How frontends name it. */
  readonly id: string;
  readonly definition: Definition;
  readonly graph: LoadedGraph;
  /** The frontend of the daemon that made it; undefined for a graph of the client. */
  readonly call: FrontendCall | undefined;
  /** Makes the files. Rejects with GraphError. */
  solve(signal: AbortSignal): Promise<SolvedRef>;
}

/** What a frontend came to. */
export interface FrontendResult {
  /** The only result; undefined is the empty tree. Not used when there are several. */
  readonly ref: ResultRef | undefined;
  /** Results by platform. */
  readonly refs: ReadonlyMap<string, ResultRef | undefined> | undefined;
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  readonly attestations: ReadonlyMap<string, readonly ResultAttestation[]>;
}

/** A statement that a frontend makes of a result. */
export interface ResultAttestation {
  readonly message: Attestation;
  /** The files that it is in. */
  readonly ref: ResultRef | undefined;
}

/**
 * All results, with the platform that each is for; empty for an only one.
 * @param order the platforms as the frontend lists them; messages do not keep the order of maps
 */
export function resultRefs(
  { ref, refs }: FrontendResult,
  order: readonly string[],
): (readonly [platform: string, ref: ResultRef | undefined])[] {
  if (refs === undefined) return [['', ref]];
  const place = (platform: string) => (order.includes(platform) ? order.indexOf(platform) : order.length);
  return [...refs].sort(([a], [b]) => place(a) - place(b) || (a < b ? -1 : 1));
}

/** The platforms that the frontend names its results for, by key (gateway facts, 5). */
export function platformsOf({ metadata }: FrontendResult): Map<string, Platform> {
  const bytes = metadata.get('refs.platforms');
  if (bytes === undefined) return new Map();
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new StatusError(Code.unknown, 'failed to parse platforms passed to provenance processor', { cause });
  }
  const named = value as { readonly Platforms?: readonly { ID: string; Platform: Platform }[] } | null;
  const list = named?.Platforms;
  if (list === undefined || list.length === 0)
    throw new StatusError(Code.unknown, 'invalid empty platforms index for exporter');
  for (const { ID, Platform: platform } of list) {
    if (ID === '') throw new StatusError(Code.unknown, 'invalid empty platform key for exporter');
    if (!platform.os || !platform.architecture)
      throw new StatusError(Code.unknown, `invalid platform value of ${ID} for exporter`);
  }
  return new Map(list.map(({ ID, Platform: platform }) => [ID, platform]));
}
