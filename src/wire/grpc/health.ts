import { Health, HealthCheckResponse_ServingStatus } from '../proto/gen/grpc/health_pb.ts';
import { Code } from './code.ts';
import { type Route, serviceRoutes } from './service.ts';
import { StatusError } from './status.ts';

const SERVING = { status: HealthCheckResponse_ServingStatus.SERVING };

/** The health service of a server that is well for as long as it answers. Only the server as a whole, `""`, has a health. */
export function healthRoutes(): Route[] {
  return serviceRoutes(Health, {
    check: async ({ service }) => {
      if (service !== '') throw new StatusError(Code.notFound, 'unknown service');
      return SERVING;
    },
    list: async () => ({ statuses: { '': SERVING } }),
    watch: async function* ({ service }, { signal }) {
      yield service === '' ? SERVING : { status: HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN };
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
}
