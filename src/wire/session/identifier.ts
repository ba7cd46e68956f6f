import { randomBytes } from 'node:crypto';

const LENGTH = 25;
const RANDOM_BYTES = 17;

/** A new id as BuildKit makes them for builds, sessions and records: 25 characters of `[0-9a-z]`. */
export function newIdentifier(): string {
  const number = BigInt(`0x${randomBytes(RANDOM_BYTES).toString('hex')}`);
  // 17 bytes are at most 27 digits of base 36.
  return number.toString(36).padStart(LENGTH, '0').slice(-LENGTH);
}
