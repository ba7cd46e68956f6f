import { fromBinary } from '@bufbuild/protobuf';
import type { Channel } from '../grpc/channel.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { fromStatusMessage, type StatusError } from '../grpc/status.ts';
import { isDigest } from '../oci/digest.ts';
import { Control } from '../proto/gen/control/control_pb.ts';
import { StatusSchema } from '../proto/gen/google/rpc/status_pb.ts';
import { remoteContent } from './content/content-client.ts';

/**
 * How a build failed, as the daemon recorded it; undefined when it recorded none. For answers that could not be read: with
 * its details an error holds the whole Dockerfile, and one of more than 45 KB is too large a header for `node:http2`, which
 * then closes the connection as broken. Rejects with StatusError when the daemon cannot be asked.
 * @param channel to the daemon, not the one that was lost unless it connects again
 * @param ref the id of the build
 */
export async function recordedError(
  channel: Channel,
  ref: string,
  signal: AbortSignal,
): Promise<StatusError | undefined> {
  const events = serviceClient(Control, channel).listenBuildHistory({ Ref: ref, EarlyExit: true }, { signal });
  for await (const { record } of events) {
    if (record?.error === undefined) continue;
    const digest = record.externalError?.digest ?? '';
    if (!isDigest(digest)) return fromStatusMessage(record.error);
    const parts: Uint8Array[] = [];
    for await (const part of remoteContent(channel).read(digest, 0, signal)) parts.push(part);
    return fromStatusMessage(fromBinary(StatusSchema, Buffer.concat(parts)));
  }
  return undefined;
}
