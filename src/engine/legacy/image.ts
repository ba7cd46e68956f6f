import type { Platform } from '../../wire/oci/descriptor.ts';
import { type Digest, digestOf, isDigest } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { isoTime } from '../exporter/image-config.ts';
import { rawMembers, sortedObject } from '../exporter/raw-json.ts';
import type { LayerID } from '../ops/ref.ts';
import type { Timestamp } from '../status/event.ts';
import { type ContainerConfig, formatContainerConfig, parseContainerConfig } from './container-config.ts';

/** An image of the legacy builder: each step makes one. */
export interface LegacyImage {
  /** The digest of its config. */
  readonly id: Digest;
  /** Its config, JSON text. */
  readonly text: string;
  /** In the layer store, bottom first. */
  readonly layers: readonly LayerID[];
}

/** An entry of an image's history, in the words of its config. */
export interface HistoryEntry {
  readonly created: string;
  readonly author?: string;
  readonly created_by?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** What the config of an image says. */
export interface ImageContent {
  readonly config: ContainerConfig;
  /** The config of the container that it was made of; undefined for images that no step made. */
  readonly containerConfig: ContainerConfig | undefined;
  readonly history: readonly HistoryEntry[];
  readonly diffIDs: readonly Digest[];
  readonly platform: Platform;
  readonly created: string;
}

/** Reads an image's config. Members of unexpected types count as absent. */
export function readContent({ text }: Pick<LegacyImage, 'text'>): ImageContent {
  const image: Readonly<Record<string, unknown>> = { ...JSON.parse(text) };
  const rootfs = image['rootfs'];
  const diffIDs = typeof rootfs === 'object' && rootfs !== null && 'diff_ids' in rootfs ? rootfs.diff_ids : [];
  const member = (name: string): string => (typeof image[name] === 'string' ? image[name] : '');
  const container = image['container_config'];
  return {
    config: parseContainerConfig(image['config']),
    containerConfig: typeof container === 'object' && container !== null ? parseContainerConfig(container) : undefined,
    history: Array.isArray(image['history']) ? (image['history'] as HistoryEntry[]) : [],
    diffIDs: Array.isArray(diffIDs) ? diffIDs.filter(id => typeof id === 'string' && isDigest(id)) : [],
    platform: {
      os: member('os'),
      architecture: member('architecture'),
      ...(member('variant') === '' ? {} : { variant: member('variant') }),
    },
    created: member('created'),
  };
}

/** What a step made. */
export interface ChildOptions {
  readonly config: ContainerConfig;
  readonly containerConfig: ContainerConfig;
  readonly author: string;
  /** The id of the container; empty for what needs none. */
  readonly container: string;
  /** The new layer; undefined when nothing changed. */
  readonly layer: { readonly id: LayerID; readonly diffID: Digest } | undefined;
  readonly created: Timestamp;
  /** Of an image without a parent. */
  readonly platform: Platform;
}

/** The image of a step on a parent. */
export function childImage(parent: LegacyImage | undefined, options: ChildOptions): LegacyImage {
  const created = rfc3339(options.created);
  const entry: HistoryEntry = {
    created,
    ...(options.author === '' ? {} : { author: options.author }),
    created_by: (options.containerConfig.cmd ?? []).join(' '),
    ...(options.layer === undefined ? { empty_layer: true } : {}),
  };
  const names = { hostname: options.container.slice(0, 12), image: parent?.id ?? '' };
  return makeImage(parent, entry, options.layer, {
    author: options.author,
    config: formatContainerConfig(options.config, { ...names, hostname: '' }),
    containerConfig: formatContainerConfig(options.containerConfig, names),
    container: options.container,
    platform: options.platform,
  });
}

/**
 * The image that another one's records tell of: the one whose history goes as far as `parent`'s and one entry more. It is
 * the same each time.
 */
export function restoredImage(
  parent: LegacyImage | undefined,
  target: LegacyImage,
  config: ContainerConfig,
): LegacyImage | undefined {
  const content = readContent(target);
  const known = parent === undefined ? { history: [], diffIDs: [] } : readContent(parent);
  const entry = content.history[known.history.length];
  if (entry === undefined) return undefined;
  const index = known.diffIDs.length;
  const [id, diffID] = [target.layers[index], content.diffIDs[index]];
  if (entry.empty_layer !== true && (id === undefined || diffID === undefined)) return undefined;
  const layer = entry.empty_layer === true || id === undefined || diffID === undefined ? undefined : { id, diffID };
  return makeImage(parent, entry, layer, {
    author: entry.author ?? '',
    config: formatContainerConfig(config, { hostname: '', image: parent?.id ?? '' }),
    containerConfig: undefined,
    container: undefined,
    platform: content.platform,
  });
}

interface ImageParts {
  readonly author: string;
  /** JSON texts. */
  readonly config: string;
  readonly containerConfig: string | undefined;
  readonly container: string | undefined;
  readonly platform: Platform;
}

function makeImage(
  parent: LegacyImage | undefined,
  entry: HistoryEntry,
  layer: ChildOptions['layer'],
  parts: ImageParts,
): LegacyImage {
  const known = parent && rawMembers(parent.text);
  const content = parent && readContent(parent);
  const platform = content?.platform ?? parts.platform;
  const diffIDs = [...(content?.diffIDs ?? []), ...(layer === undefined ? [] : [layer.diffID])];
  const members = new Map<string, string>();
  const set = (name: string, text: string | undefined) => text !== undefined && members.set(name, text);
  set('architecture', goJson(platform.architecture));
  set('author', parts.author === '' ? undefined : goJson(parts.author));
  set('config', parts.config);
  set('container', parts.container === undefined || parts.container === '' ? undefined : goJson(parts.container));
  set('container_config', parts.containerConfig);
  set('created', goJson(entry.created));
  set('history', goJson([...(content?.history ?? []), entry]));
  set('os', goJson(platform.os));
  set('os.features', known?.get('os.features'));
  set('os.version', known?.get('os.version'));
  set('rootfs', goJson({ type: 'layers', diff_ids: diffIDs.length === 0 ? undefined : diffIDs }));
  set('variant', platform.variant === undefined ? undefined : goJson(platform.variant));
  const text = sortedObject(members);
  const layers = [...(parent?.layers ?? []), ...(layer === undefined ? [] : [layer.id])];
  return { id: digestOf(text), text, layers };
}

/** Nanoseconds since the epoch as RFC 3339 in UTC. */
function rfc3339(time: Timestamp): string {
  const fraction = (time % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  const seconds = isoTime(Number(time / 1_000_000_000n)).slice(0, -1);
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`;
}
