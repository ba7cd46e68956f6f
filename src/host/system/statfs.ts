import { declare } from './libc.ts';
import { check, cString, type SystemPath } from './system-error.ts';

const statfsNative = declare<[SystemPath, BigUint64Array]>('statfs', 'int', ['str', 'void *']);

/** Place of `f_flags` in `struct statfs`, which is made of 64-bit words on the machines that Node supports. */
const FLAGS_WORD = 10;

/** Mount options by their `ST_` bit, as mount(8) names them. */
const NAMES: readonly (readonly [bit: bigint, name: string])[] = [
  [1n, 'ro'],
  [2n, 'nosuid'],
  [4n, 'nodev'],
  [8n, 'noexec'],
  [1024n, 'noatime'],
  [2048n, 'nodiratime'],
  [4096n, 'relatime'],
];

/** The `ST_` bits of the mount that a path is on: statfs(2). Throws `SystemError`. */
export function mountBits(path: SystemPath): bigint {
  const words = new BigUint64Array(16);
  check(statfsNative(cString(path), words), 'statfs', path);
  return words[FLAGS_WORD] ?? 0n;
}

/** The options of the mount that a path is on, such as `nosuid`. Throws `SystemError`. */
export function mountOptions(path: SystemPath): string[] {
  const bits = mountBits(path);
  return NAMES.filter(([bit]) => (bits & bit) !== 0n).map(([, name]) => name);
}
