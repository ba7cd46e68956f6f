import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AttestationChain } from '../../../engine/source/attestation-chain.ts';
import type { AttestationChainSchema } from '../../../wire/proto/gen/control/gateway_pb.ts';

/** A chain as it travels. */
export function attestationMessage(chain: AttestationChain): MessageInitShape<typeof AttestationChainSchema> {
  const { root, imageManifest, attestationManifest, signatureManifest, blobs } = chain;
  return {
    Root: root,
    ImageManifest: imageManifest,
    AttestationManifest: attestationManifest ?? '',
    SignatureManifests: signatureManifest === undefined ? [] : [signatureManifest],
    Blobs: Object.fromEntries(
      blobs.map(({ descriptor: { mediaType, digest, size, annotations = {} }, data }) => [
        digest,
        { descriptor: { mediaType, digest, size: BigInt(size), annotations }, data: Uint8Array.from(data) },
      ]),
    ),
  };
}
