import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatformAll, normalizePlatform, parsePlatform } from '../../wire/oci/platform.ts';

/** The platforms of a result. */
interface ResultPlatforms {
  readonly platforms: readonly Platform[];
  /** Whether the frontend gave a result for each platform, rather than a single one. */
  readonly isMap: boolean;
}

/**
 * What is to be said of a result whose platforms are not those that were asked for, in the words of BuildKit.
 * @param asked as the client wrote them
 */
export function platformWarnings(asked: readonly string[], { platforms, isMap }: ResultPlatforms): string[] {
  const { names, warnings } = readAsked(asked);
  if (warnings.length > 0) return warnings;
  const made = platforms.map(platform => formatPlatformAll(normalizePlatform(platform)));
  const [first] = asked;
  const [only] = platforms;
  if (names.size === 1 && made.length === 1 && first !== undefined && only !== undefined) {
    if (hasPlatform(names, only, first)) return [];
    return [`Requested platform ${JSON.stringify(first)} does not match result platform ${JSON.stringify(made[0])}`];
  }
  if (!isMap && names.size > 1) return ['Multiple platforms requested but result is not multi-platform'];
  if (names.size === made.length && made.every(name => names.has(name))) return [];
  const list = (all: Iterable<string>) => [...all].sort().join(',');
  return [`Requested platforms ${list(names)} do not match result platforms ${list(made)}`];
}

function readAsked(asked: readonly string[]): { readonly names: Set<string>; readonly warnings: string[] } {
  const names = new Set<string>();
  const warnings: string[] = [];
  for (const text of asked) {
    let name: string;
    try {
      name = formatPlatformAll(normalizePlatform(parsePlatform(text)));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      warnings.push(`Invalid platform result requested ${JSON.stringify(text)}: ${reason}`);
      continue;
    }
    if (names.has(name)) warnings.push(`Duplicate platform result requested ${JSON.stringify(text)}`);
    names.add(name);
  }
  return { names, warnings };
}

/** A platform that was asked for without a version of its system may come with any. */
function hasPlatform(names: ReadonlySet<string>, platform: Platform, asked: string): boolean {
  if (names.has(formatPlatformAll(normalizePlatform(platform)))) return true;
  if (parsePlatform(asked)['os.version'] !== undefined) return false;
  const { 'os.version': _, ...unversioned } = normalizePlatform(platform);
  return names.has(formatPlatformAll(unversioned));
}
