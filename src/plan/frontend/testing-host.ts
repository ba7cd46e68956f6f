/** A host that answers from recorded answers instead of registries and directories. For tests. */

import { fromBinary } from '@bufbuild/protobuf';
import type { Digest } from '../../wire/oci/digest.ts';
import { formatPlatform, normalizePlatform, parsePlatform } from '../../wire/oci/platform.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { FrontendHost, ImageConfigRequest, ResolvedImageConfig } from './host.ts';

/** What registries and directories hold. */
export interface RecordedWorld {
  readonly buildPlatform: string;
  readonly sessionID: string;
  /** By normalised reference: the answer for a platform, undefined when there is none. */
  image(ref: string, platform: string): { readonly digest: Digest; readonly config: Uint8Array } | undefined;
  /** A file of the source of a graph. */
  file(identifier: string, path: string): Uint8Array | undefined;
  inputs?(): ReadonlyMap<string, Definition>;
}

export interface RecordedHost extends FrontendHost {
  readonly requests: ImageConfigRequest[];
  readonly solved: Definition[];
}

export function recordedHost(world: RecordedWorld): RecordedHost {
  const requests: ImageConfigRequest[] = [];
  const solved: Definition[] = [];
  let ids = 0;
  return {
    requests,
    solved,
    sessionID: world.sessionID,
    buildPlatforms: [normalizePlatform(parsePlatform(world.buildPlatform))],
    supports: () => true,
    newID: () => `pg${++ids}`,
    inputs: async () => world.inputs?.() ?? new Map(),
    resolveSourceTime: async () => ({}),
    resolveImageConfig: async (request): Promise<ResolvedImageConfig> => {
      requests.push(request);
      const platform =
        request.platform === undefined ? world.buildPlatform : formatPlatform(normalizePlatform(request.platform));
      const found = world.image(request.ref, platform);
      if (found === undefined) throw new Error(`${request.ref}: not found`);
      return { ref: request.ref, ...found };
    },
    solve: async definition => {
      solved.push(definition);
      const [raw = new Uint8Array()] = definition.def;
      const { op } = fromBinary(OpSchema, raw);
      const identifier = op.case === 'source' ? op.value.identifier : '';
      return {
        readFile: async (path, _signal, length) => {
          const data = world.file(identifier, path);
          if (data === undefined) throw new Error(`open ${path}: no such file or directory`);
          return length === undefined ? data : data.subarray(0, length);
        },
      };
    },
  };
}
