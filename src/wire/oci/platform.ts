import type { Descriptor, Platform } from './descriptor.ts';

/** A text that is no platform. */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
}

const COMPONENT = /^[A-Za-z0-9_.-]+$/;
const OS = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/;
const OS_PATTERN = '"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.%-]*)((?:\\\\+[A-Za-z0-9_.%-]+)*)\\\\))?$"';
const KNOWN_OS = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
);
const KNOWN_ARCHITECTURE = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ' +
    'ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
);

/** Go's names of the architectures that Node names otherwise. */
const NODE_ARCHITECTURE = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
  ['ppc64', 'ppc64le'],
]);

/** The platform of this machine, normalised. */
export function hostPlatform(): Platform {
  return normalizePlatform({
    os: process.platform === 'win32' ? 'windows' : process.platform,
    architecture: NODE_ARCHITECTURE.get(process.arch) ?? process.arch,
  });
}

/**
 * Parses `os[(version+features)]/arch[/variant]`, or one word that is an operating system or an architecture, as containerd's
 * platforms library does: names are normalised, `arm` keeps no variant, `arm64` with a third part keeps `v8`.
 * @throws PlatformError
 */
export function parsePlatform(text: string): Platform {
  if (text.includes('*')) throw new PlatformError(`"${text}": wildcards not yet supported: invalid argument`);
  const [first = '', architecture, variant, ...further] = text.split('/');
  const rest = further.length === 0 ? [] : [further.join('/')];
  const match = OS.exec(first);
  if (match === null) {
    throw new PlatformError(
      `"${first}" is an invalid OS component of "${text}": OSAndVersion specifier component must match ${OS_PATTERN}: invalid argument`,
    );
  }
  for (const part of [architecture, variant, ...rest]) {
    if (part !== undefined && !COMPONENT.test(part)) {
      throw new PlatformError(
        `"${part}" is an invalid component of "${text}": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
      );
    }
  }
  if (rest.length > 0) throw new PlatformError(`"${text}": cannot parse platform specifier: invalid argument`);
  const os = normalizeOs(match[1] ?? '');
  const version = decodeOption(match[2] ?? '');
  const features = (match[3] ?? '').split('+').filter(Boolean).map(decodeOption);
  const options = {
    ...(version === '' ? {} : { 'os.version': version }),
    ...(features.length === 0 ? {} : { 'os.features': features }),
  };
  if (architecture === undefined) return { ...parseWord(text, first, os), ...options };
  const [arch, normalVariant] = normalizeArchitecture(architecture, variant ?? '');
  let kept = normalVariant;
  if (variant === undefined && arch === 'arm' && kept === 'v7') kept = '';
  if (variant !== undefined && arch === 'arm64' && kept === '') kept = 'v8';
  return { os, architecture: arch, ...(kept === '' ? {} : { variant: kept }), ...options };
}

/** `os/arch[/variant]`; `unknown` for a platform without an operating system. */
export function formatPlatform(platform: Platform): string {
  if (platform.os === '') return 'unknown';
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/** `os[(version+feature…)]/arch[/variant]`. */
export function formatPlatformAll(platform: Platform): string {
  const version = encodeOption(platform['os.version'] ?? '');
  const features = sortedFeatures(platform).map(encodeOption).join('+');
  if (platform.os === '' || (version === '' && features === '')) return formatPlatform(platform);
  return formatPlatform({ ...platform, os: `${platform.os}(${version}${features === '' ? '' : `+${features}`})` });
}

/** The normal form of a platform: cache keys are made of it (containerd's platforms library, `Normalize`). */
export function normalizePlatform(platform: Platform): Platform {
  const [architecture, variant] = normalizeArchitecture(platform.architecture, platform.variant ?? '');
  const features = sortedFeatures(platform);
  const version = platform['os.version'] ?? '';
  return {
    os: normalizeOs(platform.os),
    architecture,
    ...(variant === '' ? {} : { variant }),
    ...(version === '' ? {} : { 'os.version': version }),
    ...(features.length === 0 ? {} : { 'os.features': features }),
  };
}

/** Whether both are the same platform once normalised. */
export function equalPlatforms(a: Platform, b: Platform): boolean {
  return formatPlatformAll(normalizePlatform(a)) === formatPlatformAll(normalizePlatform(b));
}

/** Whether an image for `offered` runs on `wanted`: the platform itself or one that it also runs (`arm/v6` on `arm/v7`). */
export function matchesPlatform(wanted: Platform, offered: Platform): boolean {
  return rank(candidates(wanted), offered) !== undefined;
}

/**
 * The entries of an index that fit the platform, best first: nearer variants before farther, more matching features before
 * fewer, entries that name no platform last; otherwise in the order of the index.
 */
export function matchingManifests(manifests: readonly Descriptor[], wanted: Platform): Descriptor[] {
  const ladder = candidates(wanted);
  const ranked: { descriptor: Descriptor; place: number; features: number }[] = [];
  for (const descriptor of manifests) {
    const { platform } = descriptor;
    if (platform === undefined) {
      ranked.push({ descriptor, place: Number.POSITIVE_INFINITY, features: 0 });
      continue;
    }
    const place = rank(ladder, platform);
    if (place !== undefined) ranked.push({ descriptor, place, features: platform['os.features']?.length ?? 0 });
  }
  return ranked.sort((a, b) => byPlace(a.place, b.place) || b.features - a.features).map(entry => entry.descriptor);
}

function byPlace(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** The place in the ladder of the first step that the platform is on. */
function rank(ladder: readonly Platform[], offered: Platform): number | undefined {
  const normal = normalizePlatform(offered);
  const place = ladder.findIndex(
    step =>
      step.os === normal.os &&
      step.architecture === normal.architecture &&
      (step.variant ?? '') === (normal.variant ?? '') &&
      (step.os !== 'windows' || windowsVersionFits(step['os.version'], offered['os.version'])) &&
      (normal['os.features'] ?? []).every(feature => feature === 'win32k' || step['os.features']?.includes(feature)),
  );
  return place < 0 ? undefined : place;
}

function windowsVersionFits(wanted: string | undefined, offered: string | undefined): boolean {
  if (wanted === undefined || offered === undefined) return true;
  const build = (version: string) => version.split('.').slice(0, 3).join('.');
  return build(wanted) === build(offered);
}

/** The platforms whose images run on this one, best first (containerd's platforms library, `Only`). */
function candidates(wanted: Platform): Platform[] {
  const normal = normalizePlatform(wanted);
  const also = (architecture: string, variant: string) => {
    const { variant: _, ...rest } = normal;
    return normalizePlatform({ ...rest, architecture, ...(variant === '' ? {} : { variant }) });
  };
  const down = (architecture: string, from: number, to: number) =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => also(architecture, `v${from - i}`));
  const level = Number((normal.variant ?? '').replace(/^v/, ''));
  switch (normal.architecture) {
    case 'amd64':
      return [normal, ...down('amd64', Number.isInteger(level) ? level - 1 : 0, 1), also('386', '')];
    case 'arm':
      return [normal, ...down('arm', Number.isInteger(level) ? level - 1 : 0, 5)];
    case 'arm64': {
      const steps = arm64Steps(normal.variant ?? 'v8');
      if (steps.length === 0) return [];
      return [...steps.map(step => also('arm64', step)), ...down('arm', 8, 5)];
    }
    default:
      return [normal];
  }
}

/** Armv9.x includes Armv8.(x+5), each includes all that came before it; Armv8 ends at 8.9. */
function arm64Steps(variant: string): string[] {
  const match = /^v([89])(?:\.(\d))?$/.exec(variant);
  if (match === null) return [];
  const minor = Number(match[2] ?? 0);
  if (match[1] === '9' && minor > 7) return [];
  const descend = (major: number, from: number) =>
    Array.from({ length: from + 1 }, (_, i) => (from === i ? `v${major}` : `v${major}.${from - i}`));
  return match[1] === '8' ? descend(8, minor) : [...descend(9, minor), ...descend(8, Math.min(9, minor + 5))];
}

function parseWord(text: string, word: string, os: string): Platform {
  if (KNOWN_OS.has(os)) {
    const host = hostPlatform();
    const variant = host.architecture === 'arm' && host.variant !== 'v7' ? host.variant : undefined;
    return { os, architecture: host.architecture, ...(variant === undefined ? {} : { variant }) };
  }
  const [architecture, variant] = normalizeArchitecture(word, '');
  if (!KNOWN_ARCHITECTURE.has(architecture)) {
    throw new PlatformError(`"${text}": unknown operating system or architecture: invalid argument`);
  }
  const kept = architecture === 'arm' && variant === 'v7' ? '' : variant;
  return { os: hostPlatform().os, architecture, ...(kept === '' ? {} : { variant: kept }) };
}

function normalizeOs(os: string): string {
  if (os === '') return process.platform === 'win32' ? 'windows' : process.platform;
  const lower = os.toLowerCase();
  return lower === 'macos' ? 'darwin' : lower;
}

function normalizeArchitecture(architecture: string, variant: string): [architecture: string, variant: string] {
  const arch = architecture.toLowerCase();
  const lower = variant.toLowerCase();
  switch (arch) {
    case 'i386':
      return ['386', ''];
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return ['amd64', lower === 'v1' ? '' : lower];
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(lower)) return ['arm64', ''];
      return ['arm64', ['9', '9.0', 'v9.0'].includes(lower) ? 'v9' : lower];
    case 'armhf':
      return ['arm', 'v7'];
    case 'armel':
      return ['arm', 'v6'];
    case 'arm':
      if (lower === '' || lower === '7') return ['arm', 'v7'];
      return ['arm', ['5', '6', '8'].includes(lower) ? `v${lower}` : lower];
    default:
      return [arch, lower];
  }
}

function sortedFeatures(platform: Platform): string[] {
  return [...new Set(platform['os.features'] ?? [])].filter(Boolean).sort();
}

const ENCODED = /[%+()/]/g;

function encodeOption(text: string): string {
  return text.replace(ENCODED, character => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function decodeOption(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new PlatformError(`invalid URL escape in platform option "${text}"`, { cause });
  }
}
