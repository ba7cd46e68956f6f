import type { Channel } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { type Route, serviceRoutes } from '../grpc/service.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { hasCode, StatusError } from '../grpc/status.ts';
import { Secrets } from '../proto/gen/session/secrets_pb.ts';

/** The most that a secret may hold, in bytes. */
const LARGEST = 500 * 1024;

/** Asks a client for a secret; undefined when it has none of that name, or no secrets at all. Rejects with StatusError. */
export async function fetchSecret(channel: Channel, id: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return (await serviceClient(Secrets, channel).getSecret({ ID: id }, { signal })).data;
  } catch (error) {
    if (hasCode(error, Code.notFound, Code.unimplemented)) return undefined;
    throw error;
  }
}

/** The service that gives the daemon the client's secrets. */
export function secretsRoutes(get: (id: string, signal: AbortSignal) => Promise<Uint8Array | undefined>): Route[] {
  return serviceRoutes(Secrets, {
    getSecret: async ({ ID }, { signal }) => {
      const data = await get(ID, signal);
      if (data === undefined) throw new StatusError(Code.notFound, 'not found');
      if (data.length > LARGEST) throw new StatusError(Code.unknown, `invalid secret size ${data.length}`);
      return { data };
    },
  });
}
