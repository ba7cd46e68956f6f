import {
  ATTESTATION_MANIFEST,
  PREDICATE_TYPE,
  REFERENCE_DIGEST,
  REFERENCE_TYPE,
} from '../../wire/oci/attestation-annotations.ts';
import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { type Manifest, parseIndex, parseManifest } from '../../wire/oci/manifest.ts';
import { isManifestType, OCI_INDEX } from '../../wire/oci/media-types.ts';
import { formatPlatformAll, matchingManifests } from '../../wire/oci/platform.ts';
import type { ImageContent } from './image-content.ts';
import { SourceError } from './source-key.ts';

/** What is stated about an image, and who signed that: all that is needed to check it, but for the image itself. */
export interface AttestationChain {
  readonly root: Digest;
  readonly imageManifest: Digest;
  readonly attestationManifest: Digest | undefined;
  readonly signatureManifest: Digest | undefined;
  /** The index, the manifests of attestations and signatures, signatures, and the statements that were asked for. */
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly data: Uint8Array }[];
}

/** Where the parts of a chain are. */
export interface ChainContent extends Pick<ImageContent, 'document'> {
  /** What refers to a manifest. */
  referrers(digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]>;
}

/** The kinds of signatures that clients read, the one that is taken first of all. */
const SIGNATURES = ['application/vnd.dev.sigstore.bundle.v0.3+json', 'application/vnd.dev.cosign.artifact.sig.v1+json'];

/**
 * Looks up what is stated about the image of a platform (BuildKit's attestation storage: a manifest in the index that refers
 * to the image's; signatures refer to that manifest).
 * @param predicateTypes of the statements whose texts are wanted too
 * @returns undefined for what is no OCI index: there are no attestations then
 * @throws SourceError when there is no image for the platform
 */
export async function attestationChain(
  content: ChainContent,
  root: Descriptor,
  platform: Platform,
  predicateTypes: readonly string[],
  signal: AbortSignal,
): Promise<AttestationChain | undefined> {
  if (root.mediaType !== OCI_INDEX) return undefined;
  const blobs: { descriptor: Descriptor; data: Uint8Array }[] = [];
  const read = async (descriptor: Descriptor): Promise<Uint8Array> => {
    const data = await content.document(descriptor, signal);
    blobs.push({ descriptor, data });
    return data;
  };
  const { manifests } = parseIndex(await read(root));
  const [image] = matchingManifests(manifests.filter(isImage), platform);
  if (image === undefined)
    throw new SourceError(`no match for platform ${formatPlatformAll(platform)} in manifest ${root.digest}: not found`);
  const attestation = manifests.find(
    ({ annotations = {} }) =>
      annotations[REFERENCE_TYPE] === ATTESTATION_MANIFEST && annotations[REFERENCE_DIGEST] === image.digest,
  );
  const chain = { root: root.digest, imageManifest: image.digest, blobs };
  if (attestation === undefined) return { ...chain, attestationManifest: undefined, signatureManifest: undefined };
  const statements = manifestOf(await read(attestation), attestation);
  const referrers = await content.referrers(attestation.digest, signal);
  const [signature] = SIGNATURES.flatMap(type => referrers.filter(({ artifactType }) => artifactType === type));
  if (signature !== undefined)
    for (const layer of manifestOf(await read(signature), signature).layers) await read(layer);
  for (const layer of statements.layers)
    if (predicateTypes.includes(layer.annotations?.[PREDICATE_TYPE] ?? '')) await read(layer);
  return { ...chain, attestationManifest: attestation.digest, signatureManifest: signature?.digest };
}

function isImage({ mediaType, annotations }: Descriptor): boolean {
  return isManifestType(mediaType) && annotations?.[REFERENCE_TYPE] === undefined;
}

function manifestOf(bytes: Uint8Array, { digest, mediaType }: Descriptor): Manifest {
  const parsed = parseManifest(bytes, mediaType);
  if (parsed.kind !== 'manifest') throw new SourceError(`${digest} is an index, where a manifest is expected`);
  return parsed.manifest;
}
