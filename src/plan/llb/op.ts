import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { type Op, OpSchema, type Platform as PlatformMessage, PlatformSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { EncodeContext, VertexOptions } from './vertex.ts';

type OpInit = Exclude<MessageInitShape<typeof OpSchema>, Op>;

/**
 * An op with what every op carries: its worker constraints (even without any), and its platform if its kind has one.
 * @param base the platform of the state that the step stands on, if it has one
 */
export function makeOp(
  context: EncodeContext,
  options: VertexOptions,
  platform: 'with platform' | 'without platform',
  init: OpInit,
  base?: Platform,
): Op {
  const filter = [...(context.filter ?? []), ...(options.filter ?? [])];
  return create(OpSchema, {
    ...init,
    ...(platform === 'with platform'
      ? { platform: platformMessage(options.platform ?? base ?? context.platform) }
      : {}),
    constraints: { filter },
  });
}

/** A platform in the form in which ops carry it. */
function platformMessage(platform: Platform): PlatformMessage {
  return create(PlatformSchema, {
    OS: platform.os,
    Architecture: platform.architecture,
    Variant: platform.variant ?? '',
    OSVersion: platform['os.version'] ?? '',
    OSFeatures: [...(platform['os.features'] ?? [])],
  });
}
