import { join } from 'node:path';
import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { Database } from '../../store/database.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { parseReference } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { createTransport } from '../../wire/registry/transport.ts';
import type { SecretProvider, SourceRequest, SourceResolver, SshProvider } from '../ops/op-context.ts';
import type { Ref } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import type { EventSink, Timestamp } from '../status/event.ts';
import { type AttestationChain, attestationChain } from './attestation-chain.ts';
import { blobOp } from './blob.ts';
import { openDownloadStore } from './download-store.ts';
import { gitCommitTime, gitObjects, gitOp, type RemoteRefs, readGitSource, resolveGit } from './git.ts';
import type { GitMetadata } from './git-key.ts';
import { type Download, type HttpSourceOptions, httpOp, resolveHttp } from './http.ts';
import { type HttpMetadata, parseHttpDate, parseHttpSource } from './http-key.ts';
import { imageOp, ociLayoutOp, openStore } from './image.ts';
import { resolveImage } from './image-content.ts';
import type { SourceLayers } from './layer-port.ts';
import { lookUps } from './look-ups.ts';
import type { OciLayouts } from './oci-layout.ts';
import { createRegistryImages, type ResolveMode } from './registry-images.ts';
import { SourceError } from './source-key.ts';
import { sourceProgress, tokenProgress } from './source-progress.ts';

/** What the sources of a build are made of. */
export interface SourcesOptions {
  /** `$OUTCROP_ROOT`. */
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: SourceLayers;
  readonly registry: RegistryClient;
  readonly ociLayouts: OciLayouts;
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  readonly emit: EventSink;
  readonly now: () => Timestamp;
  /** Opens `local://` sources. */
  readonly local: (request: SourceRequest) => Op<Ref>;
  /** Gives the bytes behind a URL that means the client of the build; undefined for others. */
  readonly upload?: HttpSourceOptions['upload'];
}

/** An image whose config is wanted. */
interface ImageConfigQuery {
  readonly ref: string;
  readonly platform: Platform;
  readonly resolveMode: ResolveMode;
  /** Where to look instead of a registry. */
  readonly ociLayout?: { readonly store?: string };
}

/** The config of an image. */
interface ImageConfigAnswer {
  /** Of what the reference names: of an index if it is one. */
  readonly digest: Digest;
  readonly config: Uint8Array;
}

/** A source that something is to be known of before it is fetched. */
interface SourceQuery {
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Digest of the vertex that the look-up is shown under. */
  readonly vertex: string;
}

/** All sources of one build. Names that were looked up once mean the same until its end. */
export interface Sources extends SourceResolver, AsyncDisposable {
  imageConfig(query: ImageConfigQuery, signal: AbortSignal): Promise<ImageConfigAnswer>;
  /** What is stated about an image of a registry; without a chain where nothing can be. */
  imageAttestations(
    query: Omit<ImageConfigQuery, 'ociLayout'> & { readonly predicateTypes: readonly string[] },
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly chain: AttestationChain | undefined }>;
  /** When a commit was made or a download changed, seconds since the epoch; undefined when that is not known. */
  changedAt(query: SourceQuery, signal: AbortSignal): Promise<number | undefined>;
  /** What a git source resolves to. Throws SourceError for another kind of source. */
  gitMetadata(query: SourceQuery, signal: AbortSignal): Promise<GitMetadata>;
  /** The texts of a commit and of the annotated tag in front of it, fetched. Throws SourceError. */
  gitObjects(
    query: SourceQuery,
    signal: AbortSignal,
  ): Promise<{ readonly commit: string; readonly tag: string | undefined }>;
  /** What a download is, fetched if only its bytes tell. Throws SourceError for another kind of source. */
  httpMetadata(query: SourceQuery, signal: AbortSignal): Promise<HttpMetadata>;
}

const SILENCE = 30_000;

/** The sources of one build. */
export function createSources(options: SourcesOptions): Sources {
  const { layers, registry, ociLayouts, secrets, ssh } = options;
  const images = createRegistryImages(options.content, options.images, registry);
  const transport = createTransport(SILENCE);
  const downloads = openDownloadStore(options.database);
  const imageOptions = { images, ociLayouts, layers };
  const blobOptions = { registry, ociLayouts, layers };
  const httpOptions = {
    transport,
    downloads,
    layers,
    secrets,
    silence: SILENCE,
    upload: options.upload,
    lookUps: lookUps<Download>(),
  };
  const gitOptions = {
    repositories: join(options.root, 'git'),
    checkouts: downloads,
    layers,
    secrets,
    ssh,
    lookUps: lookUps<RemoteRefs>(),
    blobs: { registry, ociLayouts },
  };
  const tokens = registry.watchTokens(tokenProgress(options.emit, options.now));
  const progressOf = (vertex: string) => sourceProgress(vertex, options.emit, options.now);

  return {
    open(request) {
      const progress = progressOf(request.vertex.digest);
      const scheme = schemeOf(request.identifier);
      switch (scheme) {
        case 'docker-image':
          return imageOp(request, imageOptions, progress);
        case 'oci-layout':
          return ociLayoutOp(request, imageOptions, progress);
        case 'docker-image+blob':
        case 'oci-layout+blob':
          return blobOp(request, blobOptions, progress);
        case 'http':
        case 'https':
          return httpOp(request, httpOptions, progress);
        case 'git':
          return gitOp(request, gitOptions, progress);
        case 'local':
          return options.local(request);
        default:
          throw new SourceError(`unknown source scheme ${scheme} in "${request.identifier}"`);
      }
    },
    async imageConfig({ ref, platform, resolveMode, ociLayout }, signal) {
      const reference = parseReference(ref);
      const { root, content } =
        ociLayout === undefined
          ? await images.resolve(reference, resolveMode, signal)
          : await openStore(ociLayouts, ociLayout.store, reference, signal);
      const { config } = await resolveImage(content, root, platform, signal);
      return { digest: root.digest, config };
    },
    async imageAttestations({ ref, platform, resolveMode, predicateTypes }, signal) {
      const reference = parseReference(ref);
      const { root, content } = await images.resolve(reference, resolveMode, signal);
      const referrers = (digest: Digest, inner: AbortSignal) => registry.referrers(reference, digest, inner);
      const parts = { document: content.document, referrers };
      return { digest: root.digest, chain: await attestationChain(parts, root, platform, predicateTypes, signal) };
    },
    async changedAt({ identifier, attrs, vertex }, signal) {
      const progress = progressOf(vertex);
      switch (schemeOf(identifier)) {
        case 'git':
          return gitCommitTime(readGitSource(identifier, attrs), gitOptions, progress, signal);
        case 'http':
        case 'https': {
          const { metadata } = await resolveHttp(parseHttpSource(identifier, attrs), httpOptions, progress, signal);
          const time = metadata.lastModified === undefined ? undefined : parseHttpDate(metadata.lastModified);
          return time === undefined ? undefined : time / 1000;
        }
        default:
          return undefined;
      }
    },
    gitMetadata: async ({ identifier, attrs, vertex }, signal) =>
      resolveGit(readGitSource(identifier, attrs), gitOptions, progressOf(vertex), signal),
    gitObjects: async ({ identifier, attrs, vertex }, signal) =>
      gitObjects(readGitSource(identifier, attrs), gitOptions, progressOf(vertex), signal),
    async httpMetadata({ identifier, attrs, vertex }, signal) {
      return (await resolveHttp(parseHttpSource(identifier, attrs), httpOptions, progressOf(vertex), signal)).metadata;
    },
    async [Symbol.asyncDispose]() {
      tokens[Symbol.dispose]();
      await transport[Symbol.asyncDispose]();
    },
  };
}

function schemeOf(identifier: string): string {
  const end = identifier.indexOf('://');
  return end < 0 ? '' : identifier.slice(0, end);
}
