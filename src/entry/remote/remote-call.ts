import type { EventSink } from '../../engine/status/event.ts';
import { serviceClient } from '../../wire/grpc/service-client.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { LLBBridge } from '../../wire/proto/gen/control/gateway_pb.ts';
import { newIdentifier } from '../../wire/session/identifier.ts';
import { frontendRequest } from '../builder/frontend-options.ts';
import type { BuildRequest } from '../builder/request.ts';
import { openClientSession } from './client-session.ts';
import { followStatus } from './follow-status.ts';
import type { RemoteConnection } from './remote-build.ts';
import { remoteError } from './remote-error.ts';

const BUILD_ID = 'buildkit-controlapi-buildid';

/**
 * Asks the frontend of a daemon about a Dockerfile. Its answer is no exporter's, so the build is one that the client
 * drives (control-api facts, 10). See `Builder.call` for what it returns and throws.
 */
export async function runRemoteCall(
  { channel, solving }: RemoteConnection,
  request: BuildRequest,
  requestID: string,
  emit: EventSink,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  signal.throwIfAborted();
  await using stack = new AsyncDisposableStack();
  const frontend = stack.use(await frontendRequest(request));
  const nothing = new Map<never, never>();
  const parts = { frontend, outputs: { targets: nothing, layouts: nothing }, caches: { stores: nothing } };
  const session = stack.use(openClientSession(channel, request, parts, emit));
  const ref = newIdentifier();
  const progress = followStatus(channel, ref, emit);
  const options = { ...Object.fromEntries(frontend.options), requestid: requestID };
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  const solve = serviceClient(Control, solving).solve(
    { Ref: ref, Session: session.id, FrontendAttrs: options },
    { signal: all },
  );
  try {
    const bridge = serviceClient(LLBBridge, solving);
    const own = { metadata: [[BUILD_ID, ref]] as const, signal: all };
    const asked = bridge.solve(
      { Frontend: 'dockerfile.v0', FrontendOpt: options, allowResultReturn: true, allowResultArrayRef: true },
      own,
    );
    const { result } = await Promise.race([asked, solve.then(() => asked)]);
    await bridge.return({ ...(result === undefined ? {} : { result }) }, own);
    await solve;
    await progress.finish();
    return new Map(Object.entries(result?.metadata ?? {}).map(([key, value]) => [key, Buffer.from(value).toString()]));
  } catch (error) {
    stop.abort();
    await solve.catch(() => undefined);
    await progress.finish();
    signal.throwIfAborted();
    throw remoteError(error);
  }
}
