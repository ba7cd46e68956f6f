/** What ops get from the engine. One context is made per build; ops hold no other state. */
import type { Devices } from '../../host/cdi/devices.ts';
import type { Runtime } from '../../host/runtime/runtime.ts';
import type { ContentChecksums } from '../../store/snapshot/checksum.ts';
import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { Op, Vertex } from '../solver/op.ts';
import type { EventSink, Timestamp } from '../status/event.ts';
import type { CacheMountStore } from './exec/cache-mount.ts';
import type { LayerID, Ref } from './ref.ts';

/** A fresh layer that is being written on top of others. Disposing it before `commit` drops it. */
export interface ActiveSnapshot extends AsyncDisposable {
  /** The writable directory that becomes the layer. */
  readonly upper: string;
  /** Mounts the overlay of the lower layers and `upper` and returns where; the same path each time. */
  mount(signal: AbortSignal): Promise<string>;
  /** Unmounts, and makes the layer; returns its id. */
  commit(signal: AbortSignal): Promise<LayerID>;
}

/** A read-only tree at a path, mounted until it is disposed. */
interface SnapshotView extends AsyncDisposable {
  readonly path: string;
}

/** Shows that a layer is being unpacked while `work` runs. */
type UnpackObserver = <T>(blob: Descriptor, work: () => Promise<T>) => Promise<T>;

/** The part of the layer store that ops use. Layers are listed bottom first. */
export interface SnapshotStore {
  /** What is known of a layer. */
  get(layer: LayerID): { readonly isUnpacked: boolean } | undefined;
  /** Makes the layers present on disk: fetches and unpacks lazy ones, each within a call of `observe`. */
  unlazy(layers: readonly LayerID[], signal: AbortSignal, observe?: UnpackObserver): Promise<void>;
  /** Starts a layer on these layers. */
  prepare(layers: readonly LayerID[], signal: AbortSignal): Promise<ActiveSnapshot>;
  /** Shows these layers as one tree. */
  view(layers: readonly LayerID[], signal: AbortSignal): Promise<SnapshotView>;
  /** The files of these layers and their checksums, without a mount; at least one layer. */
  contents(layers: readonly LayerID[], signal: AbortSignal): Promise<ContentChecksums>;
  /** The layers that turn `lower` into `upper`. A prefix needs no work; anything else makes one layer. */
  diff(lower: readonly LayerID[], upper: readonly LayerID[], signal: AbortSignal): Promise<readonly LayerID[]>;
  /** The same layers for use on others than they were made on. */
  stack(ids: readonly LayerID[], below: readonly LayerID[], signal: AbortSignal): Promise<readonly LayerID[]>;
}

/** A source op, as the resolver is asked for it. */
export interface SourceRequest {
  readonly vertex: Vertex;
  /** `docker-image://…`, `oci-layout://…`, `local://…`, `git://…`, `https://…`. */
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Normalised. */
  readonly platform: Platform;
}

/** Turns source ops into what the solver runs: keys (possibly several) and one result, without inputs. */
export interface SourceResolver {
  open(request: SourceRequest): Op<Ref>;
}

/** Gives secrets by id; undefined when there is none. */
export interface SecretProvider {
  get(id: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

/** Gives the agents that `--ssh` forwards: a socket's path; undefined for an id that is not forwarded. */
export interface SshProvider {
  socket(id: string, signal: AbortSignal): Promise<string | undefined>;
}

export interface OpContext {
  readonly layers: SnapshotStore;
  readonly sources: SourceResolver;
  readonly runtime: Runtime;
  readonly cacheMounts: CacheMountStore;
  readonly devices: Devices;
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  /** Solves the graph that a build op makes, as part of the same build. */
  readonly solve: (definition: Definition, signal: AbortSignal) => Promise<Ref>;
  readonly emit: EventSink;
  /** Of this machine, normalised. */
  readonly platform: Platform;
  /** `network.host`, `security.insecure`, and what `readDeviceGrant` reads. */
  readonly entitlements: ReadonlySet<string>;
  readonly now: () => Timestamp;
  /** Whether the files of failed steps are kept for whoever asked for them to be made. */
  readonly keepsFailures?: boolean;
}
