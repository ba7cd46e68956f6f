import { join } from 'node:path';
import type { DaemonConfig } from '../../host/config/daemon-config.ts';
import { Code } from '../../wire/grpc/code.ts';
import { healthRoutes } from '../../wire/grpc/health.ts';
import { type Listener, type ListenOptions, listenOn } from '../../wire/grpc/listen.ts';
import { reflectionRoutes } from '../../wire/grpc/reflection.ts';
import { createGrpcServer } from '../../wire/grpc/server.ts';
import { serviceRoutes } from '../../wire/grpc/service.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import { Content } from '../../wire/proto/gen/containerd/content_pb.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { LLBBridge } from '../../wire/proto/gen/control/gateway_pb.ts';
import { Health } from '../../wire/proto/gen/grpc/health_pb.ts';
import { TraceService } from '../../wire/proto/gen/otel/trace_service_pb.ts';
import { createSessionTokens } from '../../wire/session/auth/session-auth.ts';
import { createSessionManager } from '../../wire/session/session-manager.ts';
import { type Engine, openEngine } from '../builder/engine.ts';
import { openBuildHistory } from './build-history.ts';
import { createBuildTable } from './build-table.ts';
import { daemonContentRoutes } from './content-service.ts';
import { controlRoutes } from './control-service.ts';
import type { DaemonLog } from './daemon-log.ts';
import type { DaemonServices } from './daemon-services.ts';
import { chooseProtocol } from './docker/protocol.ts';
import { createDockerServer } from './docker/server.ts';
import { createFrontendCalls } from './frontend-calls.ts';
import { type GarbageCollection, openGarbageCollection } from './garbage-collection.ts';
import { openReceivedDirectories } from './received-directories.ts';
import { createRegistryPool } from './registry-pool.ts';
import { openStoreGate, type StoreGate } from './store-gate.ts';
import { openWorker } from './worker.ts';

/** A daemon that takes builds. Disposing stops it at once; what runs is cancelled. */
export interface Daemon extends AsyncDisposable {
  /** Where it listens. */
  readonly addresses: readonly string[];
  /** Takes no more calls; settles when those that run have ended. */
  drain(): Promise<void>;
}

/**
 * Starts a daemon as a configuration says. The process must be in a mount namespace of its own.
 * @throws StoreUnwritableError, DatabaseError, AddressError, the errors of listening, and the signal's reason.
 */
export async function startDaemon(
  config: DaemonConfig,
  listen: ListenOptions,
  log: DaemonLog,
  signal: AbortSignal,
): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  let gate: StoreGate | undefined;
  let garbage: GarbageCollection | undefined;
  const { worker: workerConfig } = config;
  const engine: Engine = stack.use(
    await openEngine(
      {
        ...(config.root === undefined ? {} : { root: config.root }),
        ...(workerConfig.maxParallelism > 0 ? { parallelism: workerConfig.maxParallelism } : {}),
        config,
        runtime: {
          dns: config.dns,
          ...(workerConfig.binary === undefined ? {} : { command: workerConfig.binary }),
          ...(workerConfig.noProcessSandbox ? { processSandbox: false } : {}),
        },
        lockStore: async (root, recover, inner) => {
          const hold = () => {
            const held = engine.layers.hold();
            return {
              [Symbol.dispose]() {
                held[Symbol.dispose]();
                garbage?.buildEnded();
              },
            };
          };
          gate = await openStoreGate(root, recover, hold, inner);
          return gate;
        },
      },
      signal,
    ),
  );
  for (const problem of (await engine.devices.read()).problems)
    log.error('cannot use a description of devices', { problem });
  if (gate === undefined) throw new TypeError('the engine took no lock');
  const services: DaemonServices = {
    config,
    engine,
    worker: openWorker(engine.root, config),
    builds: createBuildTable(),
    sessions: stack.use(createSessionManager()),
    received: openReceivedDirectories(join(engine.root, 'received')),
    registries: stack.use(createRegistryPool(engine.openRegistry)),
    tokens: createSessionTokens(),
    calls: createFrontendCalls(),
    history: openBuildHistory(
      engine.database,
      { maxAge: config.historyMaxAge, maxEntries: config.historyMaxEntries },
      engine.now,
    ),
    gate,
    entitlements: new Set([...config.entitlements, ...(config.devices.isDisabled ? [] : ['device'])]),
  };
  garbage = stack.use(openGarbageCollection(services, log));
  const routes = [
    ...controlRoutes(services),
    ...daemonContentRoutes(engine.content, services.history),
    ...healthRoutes(),
    ...serviceRoutes(TraceService, {
      export: async () => {
        throw new StatusError(Code.unavailable, 'trace collector not configured');
      },
    }),
    ...reflectionRoutes([Control, LLBBridge, Content, Health]),
  ];
  const server = stack.use(
    createGrpcServer(routes, { onError: (path, error) => log.debug(error.message, { method: path }) }),
  );
  const docker = stack.use(createDockerServer(services, server, log));
  const listeners: Listener[] = [];
  for (const address of config.addresses) {
    const opened = await listenOn(
      address,
      connection => chooseProtocol(connection, { http2: socket => void server.serve(socket), http1: docker.serve }),
      listen,
    );
    for (const listener of opened) listeners.push(stack.use(listener));
  }
  const owned = stack.move();
  return {
    addresses: listeners.map(({ address }) => address),
    async drain() {
      await Promise.all(listeners.map(listener => listener[Symbol.asyncDispose]()));
      await Promise.all([server.drain(), docker.drain()]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
