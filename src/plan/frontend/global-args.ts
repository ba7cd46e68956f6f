import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatform, formatPlatformAll } from '../../wire/oci/platform.ts';
import { withLocation } from '../dockerfile/error.ts';
import { expandWord } from '../dockerfile/expand.ts';
import type { ArgInstruction } from '../dockerfile/instruction.ts';
import type { ProxyEnv } from '../llb/index.ts';

/** The arguments that exist without being declared, overridden by build arguments of their names. */
export function predefinedArgs(
  build: Platform,
  target: Platform,
  targetStage: string,
  buildArgs: ReadonlyMap<string, string>,
): Map<string, string> {
  const values = {
    BUILDPLATFORM: formatPlatform(build),
    BUILDOS: build.os,
    BUILDOSVERSION: build['os.version'] ?? '',
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? '',
    TARGETPLATFORM: formatPlatformAll(target),
    TARGETOS: target.os,
    TARGETOSVERSION: target['os.version'] ?? '',
    TARGETARCH: target.architecture,
    TARGETVARIANT: target.variant ?? '',
    TARGETSTAGE: targetStage || 'default',
  };
  return new Map(Object.entries(values).map(([key, value]) => [key, buildArgs.get(key) ?? value]));
}

/**
 * The predefined arguments and those before the first FROM: a build argument's value, else the default expanded with those
 * before it. One without either is not there. Throws DockerfileError.
 */
export function globalArgs(
  predefined: ReadonlyMap<string, string>,
  instructions: readonly ArgInstruction[],
  buildArgs: ReadonlyMap<string, string>,
  escapeChar: string,
): Map<string, string> {
  const args = new Map(predefined);
  for (const { args: definitions, lines } of instructions) {
    for (const { key, value } of definitions) {
      try {
        const given =
          buildArgs.get(key) ??
          (value === undefined ? undefined : expandWord(value, args, { escape: escapeChar }).text);
        if (given === undefined) continue;
        args.delete(key);
        args.set(key, given);
      } catch (error) {
        throw withLocation(error, lines);
      }
    }
  }
  return args;
}

const PROXIES = {
  http_proxy: 'http',
  https_proxy: 'https',
  ftp_proxy: 'ftp',
  no_proxy: 'no',
  all_proxy: 'all',
} as const;

/** The proxies among the build arguments, in any case; lower case wins. Undefined without any. */
export function proxyFrom(buildArgs: ReadonlyMap<string, string>): ProxyEnv | undefined {
  const proxy: { -readonly [Key in keyof ProxyEnv]: ProxyEnv[Key] } = {};
  for (const key of [...buildArgs.keys()].sort()) {
    const lower = key.toLowerCase();
    if (isProxy(lower)) proxy[PROXIES[lower]] = buildArgs.get(key) ?? '';
  }
  return Object.keys(proxy).length === 0 ? undefined : proxy;
}

function isProxy(name: string): name is keyof typeof PROXIES {
  return Object.hasOwn(PROXIES, name);
}
