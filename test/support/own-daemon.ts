import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { startDaemon } from '../../src/entry/daemon/daemon.ts';
import { createDaemonLog } from '../../src/entry/daemon/daemon-log.ts';
import { loadDaemonConfig } from '../../src/host/config/daemon-config.ts';
import { enterPrivateMountNamespace, inPrivateMountNamespace } from '../../src/host/system/namespace.ts';
import type { Channel } from '../../src/wire/grpc/channel.ts';
import { Code } from '../../src/wire/grpc/code.ts';
import { channelToAddress } from '../../src/wire/grpc/dial.ts';
import { type ServiceClient, serviceClient } from '../../src/wire/grpc/service-client.ts';
import { StatusError, toStatusMessage } from '../../src/wire/grpc/status.ts';
import { Control, type SolveRequestSchema } from '../../src/wire/proto/gen/control/control_pb.ts';
import { LLBBridge, type ResultSchema } from '../../src/wire/proto/gen/control/gateway_pb.ts';
import { newIdentifier } from '../../src/wire/session/identifier.ts';

type SolveInit = MessageInitShape<typeof SolveRequestSchema>;
type ResultInit = MessageInitShape<typeof ResultSchema>;

/** A daemon in this process on a root of its own. */
export interface OwnDaemon extends AsyncDisposable {
  readonly channel: Channel;
  readonly root: string;
  readonly control: ServiceClient<typeof Control>;
  /** Runs a build whose frontend is here, and gives what its exporters answered. Rejects with StatusError. */
  build(
    request: SolveInit,
    frontend: (bridge: ServiceClient<typeof LLBBridge>) => Promise<ResultInit>,
  ): Promise<Readonly<Record<string, string>>>;
}

/** Starts one. Call `enterPrivateMountNamespace` before anything asynchronous: in a test file, at its top. */
export async function startOwnDaemon(): Promise<OwnDaemon> {
  if (!inPrivateMountNamespace()) enterPrivateMountNamespace();
  const root = mkdtempSync(join(tmpdir(), 'outcrop-own-daemon-'));
  const address = `unix://${join(root, 'daemon.sock')}`;
  const config = { ...(await loadDaemonConfig(join(root, 'none.toml'))), root, addresses: [address] };
  const log = createDaemonLog({ write: () => true }, config);
  const daemon = await startDaemon(config, { env: {} }, log, new AbortController().signal);
  const channel = channelToAddress(address);
  const control = serviceClient(Control, channel);
  return {
    channel,
    root,
    control,
    async build(request, frontend) {
      const ref = newIdentifier();
      const metadata = [['buildkit-controlapi-buildid', ref]] as const;
      const over: Channel = {
        ...channel,
        unary: (method, message, options) => channel.unary(method, message, { ...options, metadata }),
        stream: (method, messages, options) => channel.stream(method, messages, { ...options, metadata }),
      };
      const bridge = serviceClient(LLBBridge, over);
      const solved = control.solve({ ...request, Ref: ref });
      solved.catch(() => undefined);
      try {
        await bridge.return({ result: await frontend(bridge) });
      } catch (error) {
        const status = error instanceof StatusError ? error : new StatusError(Code.unknown, String(error));
        await bridge.return({ error: toStatusMessage(status) }).catch(() => undefined);
      }
      return (await solved).ExporterResponse;
    },
    async [Symbol.asyncDispose]() {
      await channel[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
