/** What ops get from the engine. One context is made per build; ops hold no other state. */
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { ContentKey, Op, Vertex } from '../solver/op.ts';
import type { EventSink, Timestamp } from '../status/event.ts';
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
export interface SnapshotView extends AsyncDisposable {
  readonly path: string;
}

/** The part of the layer store that ops use. */
export interface SnapshotStore {
  /** Makes the layers present on disk (unpacks lazy ones). */
  unlazy(layers: readonly LayerID[], signal: AbortSignal): Promise<void>;
  /** Starts a layer on these layers, bottom first. */
  prepare(layers: readonly LayerID[], signal: AbortSignal): Promise<ActiveSnapshot>;
  /** Shows these layers as one tree. */
  view(layers: readonly LayerID[], signal: AbortSignal): Promise<SnapshotView>;
  /** The layers that turn `lower` into `upper`. A prefix needs no work; anything else makes one layer. */
  diff(lower: readonly LayerID[], upper: readonly LayerID[], signal: AbortSignal): Promise<readonly LayerID[]>;
}

/** One path to checksum (cache-keys facts: from dep to digest). */
export interface ChecksumRequest {
  /** Absolute and clean. */
  readonly path: string;
  readonly followLinks: boolean;
  readonly wildcard: boolean;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly required: readonly string[];
}

/** Checksums paths of results. */
export interface ChecksumService {
  /** The checksum of one path, and the files that it is made of as parts. Throws when the path is not there. */
  checksum(ref: Ref, request: ChecksumRequest, signal: AbortSignal): Promise<ContentKey>;
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

/** Gives the agents that `--ssh` forwards. */
export interface SshProvider {
  /** A path of a Unix socket that talks to the agent `id`, or undefined when it is not forwarded. */
  socket(id: string, signal: AbortSignal): Promise<string | undefined>;
}

export interface OpContext {
  /** `$OUTCROP_ROOT`. */
  readonly root: string;
  readonly layers: SnapshotStore;
  readonly checksums: ChecksumService;
  readonly sources: SourceResolver;
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  readonly emit: EventSink;
  /** Of this machine, normalised. */
  readonly platform: Platform;
  /** `network.host`, `security.insecure`, `device`. */
  readonly entitlements: ReadonlySet<string>;
  readonly now: () => Timestamp;
}
