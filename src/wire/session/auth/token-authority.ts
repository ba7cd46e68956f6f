import { createHmac, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
/** What stands before the 32 bytes of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const PUBLIC_KEY = 32;
const SIGNATURE = 64;

/** Who may use a token: whoever can sign with this. */
export interface TokenAuthority {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The signature, and after it what was signed. */
  sign(payload: Uint8Array): Uint8Array;
}

/**
 * The authority of a client over the tokens of a host, the same each time for the same salt.
 * @param salt of the daemon
 * @param seed of the client for that host; undefined for a client without credentials, whose tokens all such clients share
 */
export function tokenAuthority(salt: Uint8Array, seed: Uint8Array | undefined): TokenAuthority {
  const hmac = createHmac('sha256', salt);
  if (seed !== undefined) hmac.update(seed);
  const der = Buffer.concat([PRIVATE_PREFIX, hmac.digest()]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return {
    publicKey: publicBytes(key),
    sign: payload => Buffer.concat([sign(null, payload, key), payload]),
  };
}

function publicBytes(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length);
}

/** Whether `signed` is what the owner of a public key makes of a payload. */
export function isSignedBy(publicKey: Uint8Array, payload: Uint8Array, signed: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY || !Buffer.from(payload).equals(signed.subarray(SIGNATURE))) return false;
  const der = Buffer.concat([PUBLIC_PREFIX, publicKey]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verify(null, payload, key, signed.subarray(0, SIGNATURE));
}
