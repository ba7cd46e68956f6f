import type { Runtime } from '../../host/runtime/runtime.ts';
import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { Database } from '../../store/database.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import type { Timestamp } from '../status/event.ts';
import type { LegacyContext } from './context.ts';
import type { RunSettings } from './run-container.ts';

/** What the legacy builder needs of an engine. */
export interface LegacyEngine {
  /** Of this machine. */
  readonly platform: Platform;
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly registry: RegistryClient;
  readonly runtime: Runtime;
  readonly now: () => Timestamp;
}

/** A build, in the terms of `docker build`. */
export interface LegacyBuildRequest {
  readonly context: LegacyContext;
  readonly dockerfile: Uint8Array;
  /** What the Dockerfile is called in messages. */
  readonly dockerfileName: string;
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly tags: readonly string[];
  /** Of base images; of this machine unless given. */
  readonly platform: Platform | undefined;
  readonly noCache: boolean;
  /** Images of this machine that are the cache instead of all. Undefined: all. */
  readonly cacheFrom: readonly string[] | undefined;
  readonly pull: boolean;
  /** Whether the containers of steps are removed, and whether those of failed ones are too. */
  readonly rm: boolean;
  readonly forceRm: boolean;
  readonly run: RunSettings;
}

export interface LegacyBuildResult {
  readonly imageID: Digest;
}

/** Takes the output of a build: its own lines and what the steps print. */
export type LegacyWriter = (data: string | Uint8Array) => void;
