import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TimestampSchema } from '@bufbuild/protobuf/wkt';
import type { Timestamp } from '../../engine/status/event.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Platform as PlatformMessage, PlatformSchema } from '../../wire/proto/gen/pb/ops_pb.ts';

const SECOND = 1_000_000_000n;

/** A time as it travels. */
export function timestampMessage(time: Timestamp): MessageInitShape<typeof TimestampSchema> {
  return { seconds: time / SECOND, nanos: Number(time % SECOND) };
}

/** A time that travelled, in nanoseconds since the epoch. */
export function timestampOf(message: { readonly seconds: bigint; readonly nanos: number }): Timestamp {
  return message.seconds * SECOND + BigInt(message.nanos);
}

/** A time in RFC 3339 with nanoseconds, trailing zeros dropped, as Go writes it. */
export function formatTime(time: Timestamp): string {
  const whole = new Date(Number(time / 1_000_000n)).toISOString().slice(0, 'YYYY-MM-DDTHH:MM:SS'.length);
  const fraction = String(time % SECOND)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return fraction === '' ? `${whole}Z` : `${whole}.${fraction}Z`;
}

/** A platform as it travels. */
export function platformMessage(platform: Platform): MessageInitShape<typeof PlatformSchema> {
  return {
    OS: platform.os,
    Architecture: platform.architecture,
    Variant: platform.variant ?? '',
    OSVersion: platform['os.version'] ?? '',
    OSFeatures: [...(platform['os.features'] ?? [])],
  };
}

/** A platform that travelled. */
export function platformOf(message: PlatformMessage): Platform {
  const { OS, Architecture, Variant, OSVersion, OSFeatures } = message;
  return {
    os: OS,
    architecture: Architecture,
    ...(Variant === '' ? {} : { variant: Variant }),
    ...(OSVersion === '' ? {} : { 'os.version': OSVersion }),
    ...(OSFeatures.length === 0 ? {} : { 'os.features': OSFeatures }),
  };
}
