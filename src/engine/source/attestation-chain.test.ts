import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { attestationChain, type ChainContent } from './attestation-chain.ts';

const { signal } = new AbortController();
const IN_TOTO = 'application/vnd.in-toto+json';
const SIGSTORE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const COSIGN = 'application/vnd.dev.cosign.artifact.sig.v1+json';
const PROVENANCE = 'https://slsa.dev/provenance/v1';
const SPDX = 'https://spdx.dev/Document';

/** A repository with the image of one platform, statements about it, and signatures of those. */
function repository({ attested = true, signatures = [COSIGN, SIGSTORE] } = {}) {
  const blobs = new Map<string, Uint8Array>();
  const read: string[] = [];
  const put = (mediaType: string, value: object, more: Partial<Descriptor> = {}): Descriptor => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length, ...more };
  };
  const manifest = (layers: readonly Descriptor[], config: object = {}) => ({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: put(OCI_CONFIG, config),
    layers,
  });
  const platform = { os: 'linux', architecture: 'amd64' };
  const image = put(OCI_MANIFEST, manifest([], { image: true }), { platform });
  const statement = (type: string) => put(IN_TOTO, { type }, { annotations: { 'in-toto.io/predicate-type': type } });
  const [provenance, spdx] = [statement(PROVENANCE), statement(SPDX)];
  const attestation = put(OCI_MANIFEST, manifest([provenance, spdx]), {
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': image.digest,
    },
  });
  const signed = signatures.map(type => {
    const bundle = put(type, { signature: type });
    return { bundle, manifest: put(OCI_MANIFEST, manifest([bundle], { type }), { artifactType: type }) };
  });
  const manifests = attested ? [image, attestation] : [image];
  const root = put(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  const content: ChainContent = {
    async document({ digest }) {
      read.push(digest);
      return blobs.get(digest) ?? assert.fail(`no blob ${digest}`);
    },
    referrers: async digest => (digest === attestation.digest ? signed.map(one => one.manifest) : []),
  };
  return { content, platform, root, image, attestation, provenance, spdx, signed, read };
}

test('a chain is all that is needed to check what is stated about an image, but not the image', async () => {
  const { content, platform, root, image, attestation, provenance, signed, read } = repository();
  const chain = await attestationChain(content, root, platform, [PROVENANCE], signal);
  const signature = signed[1];
  assert.deepEqual(
    [chain?.root, chain?.imageManifest, chain?.attestationManifest, chain?.signatureManifest],
    [root.digest, image.digest, attestation.digest, signature?.manifest.digest],
  );
  const expected = [root, attestation, signature?.manifest, signature?.bundle, provenance].map(one => one?.digest);
  assert.deepEqual(
    chain?.blobs.map(({ descriptor }) => descriptor.digest),
    expected,
  );
  assert.deepEqual(read, expected);
});

test('statements are not read unless they are asked for', async () => {
  const { content, platform, root, read, spdx, provenance } = repository({ signatures: [] });
  const chain = await attestationChain(content, root, platform, [], signal);
  assert.equal(chain?.signatureManifest, undefined);
  assert.ok(![spdx.digest, provenance.digest].some(digest => read.includes(digest)));
});

test('an image without statements has a chain of its index alone, and one without an index has none', async () => {
  const { content, platform, root, image } = repository({ attested: false });
  const chain = await attestationChain(content, root, platform, [PROVENANCE], signal);
  assert.deepEqual([chain?.attestationManifest, chain?.blobs.length], [undefined, 1]);
  assert.equal(await attestationChain(content, image, platform, [], signal), undefined);
  await assert.rejects(
    attestationChain(content, root, { os: 'linux', architecture: 's390x' }, [], signal),
    /no match for platform linux\/s390x/,
  );
});
