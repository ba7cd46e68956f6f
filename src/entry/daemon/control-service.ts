import { Code } from '../../wire/grpc/code.ts';
import { first } from '../../wire/grpc/metadata.ts';
import { type Route, serviceRoutes } from '../../wire/grpc/service.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { sessionRoute } from '../../wire/session/session-manager.ts';
import type { DaemonServices } from './daemon-services.ts';
import { errorStatus } from './error-status.ts';
import { bridgeRoutes } from './gateway/bridge.ts';
import { parseListFilters } from './list-filter.ts';
import { runSolve } from './solve.ts';
import { diskUsage, prune } from './usage-service.ts';
import { formatTime } from './wire-values.ts';
import { versionMessage, workerMessage } from './worker.ts';

/** The header that clients compare their clock with. */
const CLOCK = 'buildkit-current-timestamp';
const BUILD_ID = 'buildkit-controlapi-buildid';

/** BuildKit's control API and gateway (control-api facts, 2). */
export function controlRoutes(services: DaemonServices): Route[] {
  const { builds, engine, history, sessions, worker } = services;
  const routes = serviceRoutes(Control, {
    async info() {
      return { buildkitVersion: versionMessage() };
    },
    async listWorkers({ filter }) {
      const fields = { id: worker.id, labels: worker.labels };
      const matches = parseListFilters(filter)(fields);
      return { record: matches ? [workerMessage(worker, (await engine.devices.read()).devices)] : [] };
    },
    diskUsage: async (request, { signal }) => ({ record: await diskUsage(services, request, signal) }),
    prune: (request, { signal }) => prune(services, request, signal),
    async solve(request, { signal }) {
      try {
        return { ExporterResponse: await runSolve(services, request, signal) };
      } catch (error) {
        throw errorStatus(error);
      }
    },
    async *status({ Ref: ref }, call) {
      call.sendHeaders([[CLOCK, formatTime(engine.now())]]);
      const past = history.progressOf(ref);
      if (past !== undefined) yield* past;
      else yield* (await builds.progressOf(ref, call.signal)).follow(call.signal);
    },
    async *listenBuildHistory(request, call) {
      call.sendHeaders([[CLOCK, formatTime(engine.now())]]);
      yield* history.listen(request, call.signal);
    },
    async updateBuildHistory(request) {
      history.update(request);
      return {};
    },
  });
  const bridges = bridgeRoutes(async ({ metadata, signal }) => {
    const ref = first(metadata, BUILD_ID);
    if (ref === undefined) throw new StatusError(Code.unknown, 'no buildid found in context');
    return builds.bridgeOf(ref, signal);
  });
  return [...routes, sessionRoute(sessions), ...bridges];
}
