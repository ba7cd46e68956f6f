import type { DaemonConfig } from '../../host/config/daemon-config.ts';
import type { SessionTokens } from '../../wire/session/auth/session-auth.ts';
import type { SessionManager } from '../../wire/session/session-manager.ts';
import type { Engine } from '../builder/engine.ts';
import type { BuildHistory } from './build-history.ts';
import type { BuildTable } from './build-table.ts';
import type { FrontendCalls } from './frontend-calls.ts';
import type { ReceivedDirectories } from './received-directories.ts';
import type { RegistryPool } from './registry-pool.ts';
import type { StoreGate } from './store-gate.ts';
import type { Worker } from './worker.ts';

/** What all services of a daemon share. */
export interface DaemonServices {
  readonly config: DaemonConfig;
  readonly engine: Engine;
  readonly worker: Worker;
  readonly builds: BuildTable;
  readonly sessions: SessionManager;
  readonly received: ReceivedDirectories;
  readonly registries: RegistryPool;
  /** For registries, fetched by clients. */
  readonly tokens: SessionTokens;
  readonly calls: FrontendCalls;
  readonly history: BuildHistory;
  readonly gate: StoreGate;
  /** What builds may be granted. */
  readonly entitlements: ReadonlySet<string>;
}
