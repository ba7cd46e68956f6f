import { createHash } from 'node:crypto';

/** A content digest, `sha256:` and 64 lower-case hex digits (OCI image spec, descriptor.md). */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is a well-formed SHA-256 digest. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** The digest of bytes, or of a text's UTF-8 bytes. */
export function digestOf(data: string | Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** The 64 hex digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
