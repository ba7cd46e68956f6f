import type { Channel } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { hasCode } from '../grpc/status.ts';
import { Exporter } from '../proto/gen/session/exporter_pb.ts';

/** An exporter that the client wants. */
export interface WantedExporter {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * Asks the client which exporters it wants, now that the result is known; none when it does not choose. Rejects with
 * StatusError.
 * @param refs ids of the result's refs, which the client may use
 */
export async function findExporters(
  channel: Channel,
  metadata: Readonly<Record<string, Uint8Array>>,
  refs: readonly string[],
  signal: AbortSignal,
): Promise<readonly WantedExporter[]> {
  const request = { metadata: { ...metadata }, refs: [...refs] };
  const found = await orNothing(serviceClient(Exporter, channel).findExporters(request, { signal }));
  return found?.exporters.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs })) ?? [];
}

/** Tells the client that all exporters are done, and what they answered. Rejects with StatusError. */
export async function finalizeExport(
  channel: Channel,
  response: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const request = { exporterResponse: { ...response } };
  await orNothing(serviceClient(Exporter, channel).finalizeExport(request, { signal }));
}

async function orNothing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (hasCode(error, Code.unavailable, Code.unimplemented)) return undefined;
    throw error;
  }
}
