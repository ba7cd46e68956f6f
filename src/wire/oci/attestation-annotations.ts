/** Annotations of what is stated about images (BuildKit, docs/attestations/attestation-storage.md). */

/** Of a manifest in an index that is no image: what it is. */
export const REFERENCE_TYPE = 'vnd.docker.reference.type';
/** The image that such a manifest is about. */
export const REFERENCE_DIGEST = 'vnd.docker.reference.digest';
/** The `REFERENCE_TYPE` of a manifest of statements. */
export const ATTESTATION_MANIFEST = 'attestation-manifest';
/** Of the blob of a statement: what it states. */
export const PREDICATE_TYPE = 'in-toto.io/predicate-type';
