import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LibraryHandle } from 'koffi';

/** What a C function takes: integers, text (or NUL-terminated bytes) for `str`, bytes for `void *`. */
type Argument = number | bigint | string | Uint8Array | BigInt64Array | BigUint64Array | Int32Array | null;

interface Native {
  load(path: null): LibraryHandle;
  errno(): number;
}

let native: Native | undefined;
let libc: LibraryHandle | undefined;

function isNative(value: unknown): value is Native {
  return typeof value === 'object' && value !== null && 'load' in value && 'errno' in value;
}

/**
 * Koffi's own entry point takes four times as long as its binary (it reads ELF headers to tell glibc from musl), so
 * the prebuilt binary is opened directly and the entry point is only what remains when there is none.
 */
function loadNative(): Native {
  for (const directory of prebuiltPlaces()) {
    for (const libcName of ['linux', 'musl']) {
      const module: { exports: unknown } = { exports: {} };
      try {
        process.dlopen(module, join(directory, `${libcName}_${process.arch}`, 'koffi.node'));
      } catch {
        continue;
      }
      if (isNative(module.exports)) return module.exports;
    }
  }
  // No prebuilt package for this machine: koffi was compiled on installation.
  const loaded: unknown = createRequire(import.meta.url)('koffi');
  if (!isNative(loaded)) throw new Error('the package koffi is not koffi');
  return loaded;
}

/** Directories that may hold the binary: where npm puts it, which takes no resolver, then where a resolver finds it. */
function* prebuiltPlaces(): Generator<string> {
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  let directory = dirname(fileURLToPath(import.meta.url));
  for (let above = dirname(directory); above !== directory; above = dirname(directory)) {
    const place = join(directory, 'node_modules', name);
    if (existsSync(place)) yield place;
    directory = above;
  }
  try {
    const entry = createRequire(import.meta.url).resolve('koffi');
    yield dirname(createRequire(entry).resolve(name));
  } catch {}
}

/** The error number that the last failed call left behind. */
export function errno(): number {
  native ??= loadNative();
  return native.errno();
}

/**
 * A function of the C library that returns an integer, bound on its first call.
 *
 * @param name Its symbol.
 * @param result Its C result type, `int` or `long`.
 * @param parameters Its C parameter types.
 */
export function declare<A extends readonly Argument[]>(
  name: string,
  result: 'int' | 'long',
  parameters: readonly string[],
): (...args: A) => number {
  let bound: ((...args: readonly Argument[]) => unknown) | undefined;
  return (...args) => {
    if (bound === undefined) {
      native ??= loadNative();
      libc ??= native.load(null);
      bound = libc.func(name, result, [...parameters]);
    }
    return Number(bound(...args));
  };
}

/** The C library's text for an error number. */
export function strerror(code: number): string {
  native ??= loadNative();
  libc ??= native.load(null);
  strerrorNative ??= libc.func('strerror', 'str', ['int']);
  return String(strerrorNative(code));
}

let strerrorNative: ((code: number) => unknown) | undefined;
