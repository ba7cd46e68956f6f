import type { LoadedGraph, LoadedVertex } from '../../plan/llb/load.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { type Digest, isDigest } from '../../wire/oci/digest.ts';
import { formatPlatform, normalizePlatform } from '../../wire/oci/platform.ts';
import { parseReference, repositoryName } from '../../wire/oci/reference.ts';
import { type ExecOp, MountType, NetMode, type SourceOp } from '../../wire/proto/gen/pb/ops_pb.ts';
import { parseGitSource } from '../source/git-key.ts';
import { redactUrl } from '../source/source-key.ts';
import type { KeyPart } from '../status/event.ts';
import type { BlobMaterial, GitMaterial, HttpMaterial, ImageMaterial, Materials } from './provenance-materials.ts';

/** A secret or an ssh agent that steps asked for. */
export interface CapturedID {
  readonly id: string;
  readonly optional: boolean;
}

/** What a build read and was given, as far as its graphs and the resolved sources tell. */
export interface ProvenanceCapture extends Materials {
  /** Names of directories of the client. */
  readonly locals: readonly string[];
  readonly secrets: readonly CapturedID[];
  readonly ssh: readonly CapturedID[];
  /** Whether any step could reach a network. */
  readonly networkAccess: boolean;
  /** Whether there are materials that cannot be told: those of nested builds. */
  readonly incomplete: boolean;
}

/** The platforms of a result, where its provenance is told per platform. */
interface CapturePlatforms {
  readonly all: readonly Platform[];
  readonly current: Platform;
}

/** What was learnt while a build ran. */
export interface CaptureInput {
  /** The graph of the result and those that the frontend solved on the way to it. */
  readonly graphs: readonly LoadedGraph[];
  /** Images that the frontend looked up. */
  readonly resolved: readonly ImageMaterial[];
  /** By digest of a source's vertex: the manifest's digest, the commit, the digest of the download. See `pinOfKey`. */
  readonly pins: ReadonlyMap<string, string>;
  readonly platforms?: CapturePlatforms;
}

/** What a source resolved to, from the parts of its first definition key; undefined for those that name no such thing. */
export function pinOfKey(parts: readonly KeyPart[]): string | undefined {
  const [first] = parts;
  if (first?.kind === 'git') return first.value;
  if (first?.kind === 'image' && first.name !== 'layers' && first.name !== 'layer limit') return first.value;
  return first?.kind === 'http' && first.name === 'content' ? first.value : undefined;
}

/** Gathers the provenance of a result, each list sorted as BuildKit sorts it. */
export function captureProvenance(input: CaptureInput): ProvenanceCapture {
  const draft: Draft = {
    images: [],
    blobs: new Map(),
    git: new Map(),
    http: new Map(),
    locals: new Set(),
    secrets: new Map(),
    ssh: new Map(),
    networkAccess: false,
    incomplete: false,
  };
  const seen = new Set<string>();
  for (const vertex of input.graphs.flatMap(graph => graph.vertices)) {
    if (seen.has(vertex.digest)) continue;
    seen.add(vertex.digest);
    captureVertex(draft, vertex, input.pins.get(vertex.digest));
  }
  for (const image of forPlatform(input.resolved, input.platforms)) addImage(draft.images, image);
  return {
    images: withoutPinnedTwins(draft.images).sort((a, b) => compare(a.ref, b.ref)),
    blobs: [...draft.blobs.values()].sort((a, b) => compare(a.ref, b.ref)),
    git: [...draft.git.values()].sort((a, b) => compare(a.url, b.url)),
    http: [...draft.http.values()].sort((a, b) => compare(a.url, b.url)),
    locals: [...draft.locals].sort(compare),
    secrets: sortedIDs(draft.secrets),
    ssh: sortedIDs(draft.ssh),
    networkAccess: draft.networkAccess,
    incomplete: draft.incomplete,
  };
}

interface Draft {
  readonly images: ImageMaterial[];
  readonly blobs: Map<string, BlobMaterial>;
  readonly git: Map<string, GitMaterial>;
  readonly http: Map<string, HttpMaterial>;
  readonly locals: Set<string>;
  readonly secrets: Map<string, boolean>;
  readonly ssh: Map<string, boolean>;
  networkAccess: boolean;
  incomplete: boolean;
}

function captureVertex(draft: Draft, vertex: LoadedVertex, pin: string | undefined): void {
  const { op, platform } = vertex.op;
  if (op.case === 'exec') captureExec(draft, op.value);
  else if (op.case === 'build') draft.incomplete = true;
  else if (op.case === 'source') {
    const { OS, Architecture, Variant, OSVersion, OSFeatures } = platform ?? {};
    const wanted = OS
      ? normalizePlatform({
          os: OS,
          architecture: Architecture ?? '',
          ...(Variant ? { variant: Variant } : {}),
          ...(OSVersion ? { 'os.version': OSVersion } : {}),
          ...(OSFeatures?.length ? { 'os.features': OSFeatures } : {}),
        })
      : undefined;
    captureSource(draft, op.value, wanted, pin);
  }
}

function captureSource(
  draft: Draft,
  { identifier, attrs }: SourceOp,
  platform: Platform | undefined,
  pin: string | undefined,
): void {
  const end = identifier.indexOf('://');
  const scheme = identifier.slice(0, end);
  const rest = identifier.slice(end + '://'.length);
  switch (scheme) {
    case 'docker-image':
    case 'oci-layout': {
      const digest = digestOfPin(pin) ?? parseReference(rest).digest;
      const local = scheme === 'oci-layout';
      addImage(draft.images, { ref: rest, local, ...(platform && { platform }), ...(digest && { digest }) });
      return;
    }
    case 'docker-image+blob':
    case 'oci-layout+blob': {
      const { digest } = parseReference(rest);
      draft.blobs.set(identifier, { ref: rest, local: scheme === 'oci-layout+blob', ...(digest && { digest }) });
      return;
    }
    case 'git':
      captureGit(draft, rest, attrs, pin);
      return;
    case 'http':
    case 'https': {
      const url = redactUrl(identifier);
      const digest = digestOfPin(pin) ?? digestOfPin(attrs['http.checksum']);
      if (digest === undefined) draft.incomplete = true;
      else if (!draft.http.has(url)) draft.http.set(url, { url, digest });
      return;
    }
    case 'local':
      draft.locals.add(rest);
  }
}

function captureGit(draft: Draft, text: string, attrs: SourceOp['attrs'], pin: string | undefined): void {
  const id = parseGitSource(text, attrs);
  const url = redactUrl(id.ref === '' ? id.remote : `${id.remote}#${id.ref}`);
  const commit = pin ?? (/^[0-9a-f]{40}$|^[0-9a-f]{64}$/.test(id.ref) ? id.ref : undefined);
  if (commit === undefined) draft.incomplete = true;
  else {
    const key = `${url} ${id.bundle}`;
    if (!draft.git.has(key)) draft.git.set(key, { url, commit, ...(id.bundle === '' ? {} : { bundle: id.bundle }) });
  }
  if (id.authTokenSecret !== '') addID(draft.secrets, id.authTokenSecret, true);
  if (id.authHeaderSecret !== '') addID(draft.secrets, id.authHeaderSecret, true);
  if (id.sshId !== '') addID(draft.ssh, id.sshId, true);
}

function captureExec(draft: Draft, exec: ExecOp): void {
  for (const { mountType, secretOpt, SSHOpt } of exec.mounts) {
    if (mountType === MountType.SECRET) addID(draft.secrets, secretOpt?.ID ?? '', secretOpt?.optional ?? false);
    if (mountType === MountType.SSH) addID(draft.ssh, SSHOpt?.ID || 'default', SSHOpt?.optional ?? false);
  }
  for (const { ID, optional } of exec.secretenv) addID(draft.secrets, ID, optional);
  if (exec.network !== NetMode.NONE) draft.networkAccess = true;
}

/** One that is needed anywhere is not optional. */
function addID(ids: Map<string, boolean>, id: string, optional: boolean): void {
  ids.set(id, (ids.get(id) ?? true) && optional);
}

function sortedIDs(ids: ReadonlyMap<string, boolean>): CapturedID[] {
  return [...ids].sort(([a], [b]) => compare(a, b)).map(([id, optional]) => ({ id, optional }));
}

function digestOfPin(pin: string | undefined): Digest | undefined {
  return pin !== undefined && isDigest(pin) ? pin : undefined;
}

function addImage(images: ImageMaterial[], image: ImageMaterial): void {
  const same = (other: ImageMaterial) =>
    other.ref === image.ref && other.local === image.local && samePlatform(other.platform, image.platform);
  if (!images.some(same)) images.push(image);
}

function samePlatform(a: Platform | undefined, b: Platform | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const version = (platform: Platform) => platform['os.version'] ?? '';
  return (
    a.os === b.os &&
    a.architecture === b.architecture &&
    (a.variant ?? '') === (b.variant ?? '') &&
    version(a) === version(b)
  );
}

/** Images that were looked up for every platform of the result count only for the platform in question. */
function forPlatform(images: readonly ImageMaterial[], platforms: CapturePlatforms | undefined): ImageMaterial[] {
  if (platforms === undefined) return [...images];
  const name = (platform: Platform) => formatPlatform(normalizePlatform(platform));
  const found = (ref: string, wanted: Platform) =>
    images.some(({ ref: other, platform }) => other === ref && platform && name(platform) === name(wanted));
  const everywhere = (ref: string) => platforms.all.every(platform => found(ref, platform));
  const { os, architecture } = platforms.current;
  return images.filter(
    ({ ref, platform }) =>
      platform === undefined || !everywhere(ref) || (platform.os === os && platform.architecture === architecture),
  );
}

/** Drops images by digest that are also there by tag: the frontend pins what it looked up. */
function withoutPinnedTwins(images: readonly ImageMaterial[]): ImageMaterial[] {
  const parsed = images.map(image => {
    const reference = parseReference(image.ref);
    const name = `${repositoryName(reference)}:${reference.tag ?? 'latest'}`;
    return { image, name, pinned: reference.digest !== undefined };
  });
  const tagged = new Set(parsed.filter(({ pinned }) => !pinned).map(({ name }) => name));
  return parsed.filter(({ name, pinned }) => !pinned || !tagged.has(name)).map(({ image }) => image);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
