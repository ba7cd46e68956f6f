/** What caches that travel take from the rest of the engine. */
import type { ContentStore } from '../../../store/content/content-store.ts';
import type { LayerStore } from '../../../store/snapshot/layer-store.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import type { Digest } from '../../../wire/oci/digest.ts';
import type { RegistryClient } from '../../../wire/registry/client.ts';
import type { LayerBlobSource } from '../../exporter/image-writer.ts';
import type { LayerBlob } from '../../solver/record-graph.ts';
import type { EventSink, Timestamp } from '../../status/event.ts';
import type { BlobPlaces } from './blob-places.ts';
import type { ContentReader, ContentWriter } from './content-place.ts';
import type { ObjectHttp } from './object-http.ts';

/** A `--cache-from` or `--cache-to`: its type, and its other attributes by lower-case name. */
export interface CacheRequest {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A layer of a cache: known by its descriptor, with its bytes somewhere. */
export interface CacheLayer extends LayerBlob {
  readonly digest: Digest;
  /** With the annotations of a cache: `containerd.io/uncompressed`, `buildkit/createdat`. */
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Opens the blob's bytes from an offset; whoever takes them checks them. */
  readonly open: (offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

/** Where events of a build go, and its clock. */
export interface ProgressDeps {
  readonly emit: EventSink;
  readonly now: () => Timestamp;
}

/** The registry client for a host. `insecure`: plain HTTP will do, and certificates are not checked. */
type RegistryFor = (host: string, insecure: boolean) => RegistryClient;

/** Directories that caches of type `local` are in. */
export interface CacheDirectories {
  /** Reads the cache of a digest, or that of a tag. */
  reader(directory: string, tag: string, digest?: Digest): ContentReader;
  /** @param before - of the cache that is there, for directories whose index somebody else keeps */
  writer(directory: string, tag: string, before?: Digest): ContentWriter;
}

/** A cache mount as steps name it. */
export interface MountName {
  readonly id: string;
  /** It starts with the files of an input. */
  readonly isSeeded: boolean;
}

/** What exports of cache mounts need. */
export interface MountExportDeps {
  /** Where the cache mounts of this machine are. */
  readonly root: string;
  /** Those of the build's steps, cached or not. */
  readonly names: () => readonly MountName[];
  readonly content: Pick<ContentStore, 'ingestPath'>;
}

/** A base image that steps of a cache stand on. */
export interface CacheBase {
  /** As the build named it, `docker.io/library/node:20`. */
  readonly name: string;
  readonly digest: string;
  /** When the name was found to mean that. */
  readonly resolvedAt: Timestamp;
  /** The build named the digest too. */
  readonly isPinned?: true;
}

/** What an export says of itself. */
export interface CacheOrigin {
  /** The program that made it, with its version. */
  readonly builder: string;
  readonly bases: readonly CacheBase[];
}

/** What an imported cache said of itself, and of which records. */
export interface EarlierExport extends CacheOrigin {
  readonly exportedAt?: Timestamp;
  /** The digest of its config. */
  readonly config: Digest;
}

/** What an import needs. */
export interface CacheImportDeps extends ProgressDeps {
  readonly registryFor: RegistryFor;
  /** Those of this machine unless said. */
  readonly directories?: CacheDirectories;
  readonly content: Pick<ContentStore, 'has' | 'read'>;
  readonly layers: Pick<LayerStore, 'addLazy' | 'withdraw'>;
  /** Digests of blobs that turned out to be missing or damaged, kept from one attempt of a build to the next. */
  readonly lost?: Set<string>;
  /** Remembers where layers came from. */
  readonly places?: Pick<BlobPlaces, 'remember' | 'forget'>;
  readonly http: ObjectHttp;
  /** The environment, for credentials of object stores. */
  readonly env: NodeJS.ProcessEnv;
  /** How long a source may take to be read, in milliseconds; 30 seconds unless said. */
  readonly patience?: number;
}

/** What an export needs. */
export interface CacheExportDeps extends ProgressDeps {
  readonly registryFor: RegistryFor;
  /** Those of this machine unless said. */
  readonly directories?: CacheDirectories;
  readonly layerBlobs: LayerBlobSource;
  readonly content: Pick<ContentStore, 'read'>;
  /** The repository that a blob is known to be in, for mounting it instead of uploading. */
  readonly repositoryOf: (digest: string) => string | undefined;
  readonly http: ObjectHttp;
  readonly env: NodeJS.ProcessEnv;
  /** Asked when the build has ended; exports say nothing of themselves without it. */
  readonly origin?: () => CacheOrigin;
  /** What the caches were that the build imported: one that is exported again as it was stays the same. */
  readonly earlier?: () => Promise<readonly EarlierExport[]>;
  /** For exports with `mounts=true`. */
  readonly mounts?: MountExportDeps | undefined;
}
