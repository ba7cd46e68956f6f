import type { MessageInitShape } from '@bufbuild/protobuf';
import { parseHttpDate } from '../../../engine/source/http-key.ts';
import { parseResolveMode, type ResolveMode } from '../../../engine/source/registry-images.ts';
import { type SourcePolicy, sourcePolicy } from '../../../engine/source/source-policy.ts';
import type { Sources } from '../../../engine/source/sources.ts';
import type { EventSink } from '../../../engine/status/event.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import { digestOf } from '../../../wire/oci/digest.ts';
import { formatPlatform, normalizePlatform } from '../../../wire/oci/platform.ts';
import type {
  ResolveImageConfigRequest,
  ResolveImageConfigResponseSchema,
  ResolveSourceMetaRequest,
  ResolveSourceMetaResponseSchema,
} from '../../../wire/proto/gen/control/gateway_pb.ts';
import type { Platform as PlatformMessage } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { shown } from '../../builder/embedded-host.ts';
import type { ClientBuild } from '../client-build.ts';
import { platformMessage, platformOf } from '../wire-values.ts';
import { attestationMessage } from './attestation-message.ts';

type ImageConfigResponse = MessageInitShape<typeof ResolveImageConfigResponseSchema>;
type SourceMetaResponse = MessageInitShape<typeof ResolveSourceMetaResponseSchema>;

/** Looks an image up: the older way of asking. */
export async function resolveImageConfig(
  build: ClientBuild,
  request: ResolveImageConfigRequest,
  signal: AbortSignal,
): Promise<ImageConfigResponse> {
  const isLayout = request.ResolverType === 1;
  const image = await resolveImage(
    build,
    build.sources,
    {
      ref: request.Ref,
      platform: platformFor(build, request.Platform),
      mode: parseResolveMode(request.ResolveMode),
      logName: request.LogName,
      ...(isLayout ? { store: request.StoreID } : {}),
    },
    signal,
  );
  return { Digest: image.digest, Config: Uint8Array.from(image.config), Ref: request.Ref };
}

/** Tells what a source is before it is fetched, if the build may have it. */
export async function resolveSourceMeta(
  build: ClientBuild,
  request: ResolveSourceMetaRequest,
  signal: AbortSignal,
): Promise<SourceMetaResponse> {
  const { Source: asked, SourcePolicies: policies } = request;
  if (asked === undefined) throw new StatusError(Code.invalidArgument, 'source is required');
  const policy = policies.length === 0 ? undefined : sourcePolicy([...build.request.policies, ...policies]);
  const platform = request.Platform ?? platformMessage(build.platform);
  return sourceMeta(build, request, await build.judge(asked, platform, policy, signal), signal);
}

/**
 * Tells what a source is; whether the build may have it is decided already.
 * @param source to look at, in place of the request's
 */
export async function sourceMeta(
  build: ClientBuild,
  request: ResolveSourceMetaRequest,
  { identifier, attrs }: ReturnType<SourcePolicy>,
  signal: AbortSignal,
): Promise<SourceMetaResponse> {
  const source = { identifier, attrs };
  const scheme = identifier.slice(0, Math.max(0, identifier.indexOf('://')));
  const rest = identifier.slice(scheme.length + '://'.length);
  switch (scheme) {
    case 'docker-image':
    case 'oci-layout': {
      const platform = platformFor(build, request.Platform);
      const mode = parseResolveMode(request.ResolveMode);
      const stated =
        scheme === 'docker-image' ? await statedOf(build, request, rest, platform, mode, signal) : undefined;
      if (stated !== undefined && request.Image?.NoConfig) return { Source: source, Image: stated };
      const image = await resolveImage(
        build,
        build.scope.sources,
        {
          ref: rest,
          platform,
          mode,
          logName: request.LogName,
          ...(scheme === 'oci-layout' ? { store: attrs['oci.store'] ?? '' } : {}),
        },
        signal,
      );
      const config = request.Image?.NoConfig ? {} : { Config: Uint8Array.from(image.config) };
      return { Source: source, Image: { ...stated, Digest: image.digest, ...config } };
    }
    case 'git':
      return showing(build, request.LogName || identifier, async vertex => {
        const { ref, object, commit } = await build.sources.gitMetadata({ identifier, attrs, vertex }, signal);
        const objects = request.Git?.ReturnObject
          ? await build.sources.gitObjects({ identifier, attrs, vertex }, signal)
          : undefined;
        return {
          Source: source,
          Git: {
            Checksum: object,
            Ref: ref,
            CommitChecksum: commit ?? '',
            ...(objects && { CommitObject: bytesOf(objects.commit), TagObject: bytesOf(objects.tag ?? '') }),
          },
        };
      });
    case 'http':
    case 'https':
      return showing(build, request.LogName || identifier, async vertex => {
        const metadata = await build.sources.httpMetadata({ identifier, attrs, vertex }, signal);
        const { checksum, filename, lastModified } = metadata;
        const time = lastModified === undefined ? undefined : parseHttpDate(lastModified);
        return {
          Source: source,
          HTTP: {
            Checksum: checksum,
            Filename: filename,
            ...(time === undefined ? {} : { LastModified: { seconds: BigInt(Math.floor(time / 1000)), nanos: 0 } }),
          },
        };
      });
    default:
      return { Source: source };
  }
}

/** What is stated about an image, if the client wants to know. */
async function statedOf(
  build: ClientBuild,
  { Image: wanted }: ResolveSourceMetaRequest,
  ref: string,
  platform: Platform,
  resolveMode: ResolveMode,
  signal: AbortSignal,
): Promise<SourceMetaResponse['Image']> {
  const predicateTypes = wanted?.ResolveAttestations ?? [];
  if (!wanted?.AttestationChain && predicateTypes.length === 0) return undefined;
  const query = { ref, platform, resolveMode, predicateTypes };
  const { digest, chain } = await build.scope.sources.imageAttestations(query, signal);
  return { Digest: digest, ...(chain && { AttestationChain: attestationMessage(chain) }) };
}

interface ImageQuery {
  readonly ref: string;
  readonly platform: Platform;
  readonly mode: ResolveMode;
  readonly logName: string;
  /** Of an OCI layout of the client. */
  readonly store?: string;
}

async function resolveImage(build: ClientBuild, sources: Sources, query: ImageQuery, signal: AbortSignal) {
  const { ref, platform, mode, store } = query;
  const name = query.logName || `resolve image config for docker-image://${ref}`;
  // The look-up of an image's metadata is shown under this digest (llb facts, 5).
  const digest = digestOf(`docker-image://${ref}${formatPlatform(platform)}`);
  return shown({ name, digest }, build, async () => {
    const found = await sources.imageConfig(
      {
        ref,
        platform,
        resolveMode: mode,
        ...(store === undefined ? {} : { ociLayout: store === '' ? {} : { store } }),
      },
      signal,
    );
    build.noteImage({ ref, digest: found.digest, local: store !== undefined, platform });
    return found;
  });
}

function platformFor(build: ClientBuild, platform: PlatformMessage | undefined): Platform {
  return platform === undefined || platform.OS === '' ? build.platform : normalizePlatform(platformOf(platform));
}

function showing<T>(
  build: { readonly emit: EventSink; readonly now: () => bigint },
  name: string,
  work: (vertex: string) => Promise<T>,
): Promise<T> {
  return shown({ name }, build, work);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text));
}
