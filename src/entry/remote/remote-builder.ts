import type { Channel } from '../../wire/grpc/channel.ts';
import { channelToAddress } from '../../wire/grpc/dial.ts';
import { serviceClient } from '../../wire/grpc/service-client.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import type { Builder } from '../builder/builder.ts';
import type { BuildRequest } from '../builder/request.ts';
import type { BuilderAddress } from './builder-address.ts';
import { chooseBuilder } from './choose-builder.ts';
import { type RemoteConnection, runRemoteBuild } from './remote-build.ts';
import { runRemoteCall } from './remote-call.ts';

/**
 * A builder on a BuildKit daemon, or on the one of several that `chooseBuilder` prefers. It connects with the first build.
 *
 * `build` and `call` throw UnreachableBuilderError too: when no daemon is there that speaks the protocol.
 */
export function openRemoteBuilder(addresses: readonly BuilderAddress[]): Builder {
  const stack = new AsyncDisposableStack();
  const connections = addresses.map(({ address, tls }): RemoteConnection => {
    const options = tls === undefined ? {} : { tls };
    const channel = stack.use(channelToAddress(address, options));
    let own: Promise<boolean> | undefined;
    return {
      address,
      channel,
      solving: stack.use(channelToAddress(address, options)),
      isOutcrop: signal => (own ??= speaksForOutcrop(channel, signal)),
    };
  });
  const choose = ({ platforms }: BuildRequest, signal: AbortSignal) => chooseBuilder(connections, platforms, signal);
  return {
    build: async (request, emit, signal) => runRemoteBuild(await choose(request, signal), request, emit, signal),
    call: async (request, requestID, emit, signal) =>
      runRemoteCall(await choose(request, signal), request, requestID, emit, signal),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function speaksForOutcrop(channel: Channel, signal: AbortSignal): Promise<boolean> {
  try {
    const { buildkitVersion } = await serviceClient(Control, channel).info({}, { signal });
    return buildkitVersion?.version.includes('+outcrop.') ?? false;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
