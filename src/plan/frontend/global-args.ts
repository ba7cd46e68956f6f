import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatform, formatPlatformAll } from '../../wire/oci/platform.ts';
import { withLocation } from '../dockerfile/error.ts';
import { expandWord } from '../dockerfile/expand.ts';
import type { ArgInstruction } from '../dockerfile/instruction.ts';
import type { ProxyEnv } from '../llb/index.ts';
import type { OutlineArgNote } from './stage-outline.ts';

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

interface GlobalArgs {
  readonly args: Map<string, string>;
  /** Those that the file declares, with or without a value. */
  readonly notes: ReadonlyMap<string, OutlineArgNote>;
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
): GlobalArgs {
  const args = new Map(predefined);
  const notes = new Map<string, OutlineArgNote>();
  for (const { args: definitions, lines } of instructions) {
    for (const { key, value, doc } of definitions) {
      try {
        const given = buildArgs.get(key);
        const word =
          given !== undefined || value === undefined ? undefined : expandWord(value, args, { escape: escapeChar });
        const needs = new Set(word?.used);
        // A default that extends the earlier value needs what that one needed.
        if (needs.delete(key)) for (const needed of notes.get(key)?.needs ?? []) needs.add(needed);
        const result = given ?? word?.text;
        notes.set(key, { value: result, doc, lines, needs });
        if (result === undefined) continue;
        args.delete(key);
        args.set(key, result);
      } catch (error) {
        throw withLocation(error, lines);
      }
    }
  }
  return { args, notes };
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
