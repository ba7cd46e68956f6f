import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatformAll, normalizePlatform } from '../../wire/oci/platform.ts';
import {
  familiarReference,
  formatReference,
  ImageReferenceError,
  parseReference,
  withDefaultTag,
  withDigest,
} from '../../wire/oci/reference.ts';
import { definitionEdge } from '../llb/from-definition.ts';
import { httpSource, imageSource, localSource, ociLayoutSource } from '../llb/source.ts';
import type { Edge } from '../llb/vertex.ts';
import { gitContextSource, parseIgnoreFile, readOptional, solve } from './build-context.ts';
import { type FrontendHost, OtherSourceError } from './host.ts';
import { type ImageDraft, imagePlatform, parseImage } from './image-draft.ts';
import type { FrontendOptions } from './options.ts';

/** A named context that cannot be used. Messages are those of BuildKit. */
class NamedContextError extends Error {
  override readonly name = 'NamedContextError';
}

/** `context:<name>` of the options, found for a stage or an image. */
export interface NamedContext {
  /** The key that matched: the name, perhaps with `::<platform>`. */
  readonly key: string;
  /** The name without a platform. */
  readonly name: string;
  readonly value: string;
  /** What its image must be for; nothing leaves that to the graph. */
  readonly platform: Platform | undefined;
  /** The paths that turn out to be needed of it; none means all. */
  readonly followPaths: () => readonly string[];
}

/** What a named context gives. */
export interface LoadedContext {
  readonly edge: Edge | undefined;
  /** The config of an image; nothing for other files. */
  readonly image: ImageDraft | undefined;
  /** Of an image: what the state that begins with it is for, normalised. */
  readonly platform: Platform | undefined;
}

/**
 * The context that replaces a stage or an image of this name, if one was given: first for the platform, then for any.
 * @throws NamedContextError when the name is no reference
 */
export function findNamedContext(
  host: FrontendHost,
  options: Pick<FrontendOptions, 'raw'>,
  wanted: string,
  platform: Platform | undefined,
  followPaths: () => readonly string[],
): NamedContext | undefined {
  if (['scratch', 'context'].includes(wanted.toLowerCase())) return undefined;
  let reference: ReturnType<typeof parseReference>;
  try {
    reference = parseReference(wanted);
  } catch (cause) {
    if (!(cause instanceof ImageReferenceError)) throw cause;
    throw new NamedContextError(`invalid context name ${wanted}: ${cause.message}`, { cause });
  }
  const name = familiarReference(reference).replace(/:latest$/, '');
  const withPlatform = `${name}::${formatPlatformAll(normalizePlatform(platform ?? host.buildPlatforms[0]))}`;
  for (const key of [withPlatform, name]) {
    const value = options.raw.get(`context:${key}`);
    if (value !== undefined) return { key, name, value, platform, followPaths };
  }
  return undefined;
}

/** Looks up or loads what a named context says. @throws NamedContextError, GitUrlError, BuildContextError */
export async function loadNamedContext(
  host: FrontendHost,
  options: FrontendOptions,
  context: NamedContext,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { key, value } = context;
  const colon = value.indexOf(':');
  if (colon < 0) throw new NamedContextError(`invalid context specifier ${value} for ${key}`);
  const scheme = value.startsWith('git@') ? 'git' : value.slice(0, colon);
  const rest = value.slice(colon + 1);
  switch (scheme) {
    case 'docker-image':
      return loadImageOrOther(host, options, context, rest.replace(/^\/\//, ''), signal);
    case 'oci-layout':
      return loadOciLayout(host, context, rest.replace(/^\/\//, ''), signal);
    case 'git': {
      const edge = gitContextSource(value);
      if (edge === undefined) throw new NamedContextError(`invalid git context ${value}`);
      return plainFiles(edge);
    }
    case 'http':
    case 'https': {
      const git = gitContextSource(value);
      return plainFiles(git ?? httpSource(value, { filename: 'context', name: `[context ${key}] ${value}` }));
    }
    case 'local':
      return plainFiles(await loadLocal(host, options, context, rest, signal));
    case 'input':
      return loadInput(host, options, context, rest, signal);
    default:
      throw new NamedContextError(`unsupported context source ${scheme} for ${key}`);
  }
}

function plainFiles(edge: Edge): LoadedContext {
  return { edge, image: undefined, platform: undefined };
}

/** Loads an image, or what a source policy puts in its place. */
async function loadImageOrOther(
  host: FrontendHost,
  options: FrontendOptions,
  context: NamedContext,
  written: string,
  signal: AbortSignal,
): Promise<LoadedContext> {
  try {
    return await loadImage(host, options, context, written, signal);
  } catch (error) {
    if (!(error instanceof OtherSourceError)) throw error;
    const value = error.identifier.replace(/^local:\/\//, 'local:');
    return loadNamedContext(host, options, { ...context, value }, signal);
  }
}

async function loadImage(
  host: FrontendHost,
  options: FrontendOptions,
  { key, platform }: NamedContext,
  written: string,
  signal: AbortSignal,
): Promise<LoadedContext> {
  if (written === 'scratch') return { edge: undefined, image: undefined, platform: undefined };
  const resolved = await host.resolveImageConfig(
    {
      ref: formatReference(withDefaultTag(parseReference(written))),
      resolveMode: options.resolveMode,
      logName: `[context ${key}] load metadata for ${written}`,
      ...(platform === undefined ? {} : { platform }),
    },
    signal,
  );
  const edge = imageSource(resolved.ref, {
    name: `[context ${key}] ${written}`,
    ...(platform === undefined ? {} : { platform }),
  });
  const loaded = withConfig(edge, resolved.config, platform);
  if (loaded.image !== undefined) loaded.image.created = undefined;
  return loaded;
}

async function loadOciLayout(
  host: FrontendHost,
  { key, name, platform }: NamedContext,
  spec: string,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const at = spec.indexOf('@');
  // buildx writes a tag, which is no part of the store's name.
  const store = (at < 0 ? spec : spec.slice(0, at)).replace(/:[^/:]*$/, '');
  if (store === '') throw new NamedContextError(`oci-layout reference "${spec}" has no name`);
  if (at < 0) throw new NamedContextError(`oci-layout reference "${spec}" has no digest`);
  const { digest } = parseReference(`store${spec.slice(at)}`);
  if (digest === undefined) throw new NamedContextError(`could not parse oci-layout reference "${spec}"`);
  const ref = formatReference(withDigest(parseReference(name), digest));
  const ociLayout = { session: host.sessionID, store };
  const { config } = await host.resolveImageConfig(
    {
      ref,
      resolveMode: 'default',
      logName: `[context ${key}] load metadata for ${ref}`,
      ociLayout,
      ...(platform === undefined ? {} : { platform }),
    },
    signal,
  );
  const edge = ociLayoutSource(ref, {
    ...ociLayout,
    name: `[context ${key}] OCI load from client`,
    ...(platform === undefined ? {} : { platform }),
  });
  return withConfig(edge, config, platform);
}

async function loadLocal(
  host: FrontendHost,
  options: FrontendOptions,
  { key, followPaths }: NamedContext,
  name: string,
  signal: AbortSignal,
): Promise<Edge> {
  const session = options.localSessions.get(name) ?? host.sessionID;
  const ignoreSource = localSource(name, {
    name: `[context ${key}] load .dockerignore`,
    session,
    followPaths: ['.dockerignore'],
    sharedKeyHint: `context:${key}-.dockerignore`,
    differ: 'none',
  });
  const { files } = await solve(host, ignoreSource, `failed to load .dockerignore of ${key}`, signal);
  const data = await readOptional(files, '.dockerignore', signal);
  return localSource(
    name,
    {
      name: `[context ${key}] load from client`,
      session,
      sharedKeyHint: `context:${key}-${options.raw.get(`sharedkey:localdir:${key}`) ?? ''}`,
      excludePatterns: data === undefined ? [] : parseIgnoreFile(data, '.dockerignore'),
    },
    () => ({ followPaths: followPaths() }),
  );
}

async function loadInput(
  host: FrontendHost,
  options: FrontendOptions,
  { key }: NamedContext,
  name: string,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const definition = (await host.inputs(signal)).get(name);
  if (definition === undefined) throw new NamedContextError(`invalid input ${name} for ${key}`);
  const edge = definitionEdge(definition);
  const config = inputConfig(options.raw.get(`input-metadata:${name}`), key);
  return config === undefined ? { edge, image: undefined, platform: undefined } : withConfig(edge, config, undefined);
}

/** The image config in the metadata of an input: JSON of base64 values. */
function inputConfig(metadata: string | undefined, key: string): Uint8Array | undefined {
  if (metadata === undefined) return undefined;
  let values: unknown;
  try {
    values = JSON.parse(metadata);
  } catch (cause) {
    throw new NamedContextError(`failed to parse input metadata of ${key}`, { cause });
  }
  if (typeof values !== 'object' || values === null || !('containerimage.config' in values)) return undefined;
  const encoded = values['containerimage.config'];
  return typeof encoded === 'string' ? Buffer.from(encoded, 'base64') : undefined;
}

function withConfig(edge: Edge | undefined, config: Uint8Array, wanted: Platform | undefined): LoadedContext {
  const image = parseImage(config);
  const platform = imagePlatform(image) ?? wanted;
  return { edge, image, platform: platform === undefined ? undefined : normalizePlatform(platform) };
}
