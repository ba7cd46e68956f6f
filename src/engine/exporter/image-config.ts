import { goJson } from '../../wire/oci/go-json.ts';
import type { History } from '../../wire/oci/image-config.ts';
import { formatTimestamp } from '../status/timestamp.ts';
import { rawMembers, sortedObject } from './raw-json.ts';
import type { LayerBlob } from './result.ts';

/** What becomes part of an image config beside the frontend's. */
export interface ConfigParts {
  readonly layers: readonly LayerBlob[];
  /** The base image's config, JSON text. */
  readonly baseConfig?: string;
  /** Seconds. */
  readonly epoch?: number;
  /** Records of an inline cache, JSON text. */
  readonly inlineCache?: string;
}

/**
 * The image config that is stored: the frontend's with `rootfs`, `history` and `created` filled in (exporters facts, 2).
 * @returns compact JSON, top-level keys sorted, everything else as the frontend wrote it.
 */
export function finishImageConfig(config: string, parts: ConfigParts): string {
  const members = rawMembers(config);
  const { layers, epoch } = parts;
  const base = parts.baseConfig === undefined ? [] : historyOf(rawMembers(parts.baseConfig));
  const history = fillHistory(historyOf(members), base.length, layers, epoch);
  members.set(
    'rootfs',
    goJson({ type: 'layers', diff_ids: layers.length === 0 ? null : layers.map(layer => layer.diffID) }),
  );
  members.set('history', goJson(history.length === 0 ? null : history));
  const created = members.get('created');
  if (created === undefined || created === 'null') members.set('created', goJson(history.at(-1)?.created ?? null));
  else if (epoch !== undefined && isAfter(JSON.parse(created), epoch)) members.set('created', goJson(isoTime(epoch)));
  if (parts.inlineCache !== undefined) {
    members.set('moby.buildkit.cache.v0', JSON.stringify(Buffer.from(parts.inlineCache).toString('base64')));
  }
  return sortedObject(members);
}

/** A config for a result that has none: its platform, and a history that `finishImageConfig` fills. */
export function emptyImageConfig(platform: {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}): string {
  const { architecture, os, variant } = platform;
  return goJson({ architecture, os, config: {}, ...(variant === undefined ? {} : { variant }) });
}

function historyOf(members: ReadonlyMap<string, string>): History[] {
  const parsed: unknown = JSON.parse(members.get('history') ?? 'null');
  return Array.isArray(parsed) ? parsed : [];
}

/** Each layer has its entry, and each entry its time. */
function fillHistory(
  history: readonly History[],
  baseLength: number,
  layers: readonly LayerBlob[],
  epoch: number | undefined,
): History[] {
  const matched = matchLayers(history, layers);
  let next = 0;
  const timed = matched.map(entry => {
    if (entry.empty_layer) return entry;
    const layer = layers[next++];
    return entry.created !== undefined || layer === undefined
      ? entry
      : withCreated(entry, formatTimestamp(layer.createdAt));
  });
  const firstGap = timed.findIndex(entry => entry.created === undefined);
  const known = (entries: readonly History[]) => entries.find(entry => entry.created !== undefined)?.created;
  let last =
    firstGap < 0
      ? undefined
      : (known(timed.slice(firstGap)) ?? timed.findLast(entry => entry.created !== undefined)?.created);
  return timed.map((entry, index) => {
    if (firstGap >= 0 && index >= firstGap && entry.created !== undefined) last = entry.created;
    const created = entry.created ?? last;
    const isClamped = epoch !== undefined && index >= baseLength && (created === undefined || isAfter(created, epoch));
    if (isClamped) return withCreated(entry, isoTime(epoch));
    return created === undefined ? entry : withCreated(entry, created);
  });
}

function matchLayers(history: readonly History[], layers: readonly LayerBlob[]): History[] {
  const entries = [...history];
  let surplus = entries.filter(entry => !entry.empty_layer).length - layers.length;
  for (let index = entries.length - 1; index >= 0 && surplus > 0; index--) {
    const entry = entries[index];
    if (!entry || entry.empty_layer) continue;
    entries[index] = { ...entry, empty_layer: true };
    surplus--;
  }
  for (const layer of surplus < 0 ? layers.slice(surplus) : []) {
    entries.push({
      created: formatTimestamp(layer.createdAt),
      ...(layer.description === undefined ? {} : { created_by: layer.description }),
      comment: 'buildkit.exporter.image.v0',
    });
  }
  return entries;
}

/** The entry in Go's order of fields. */
function withCreated(entry: History, created: string): History {
  const { created_by, author, comment, empty_layer } = entry;
  return {
    created,
    ...(created_by ? { created_by } : {}),
    ...(author ? { author } : {}),
    ...(comment ? { comment } : {}),
    ...(empty_layer ? { empty_layer } : {}),
  };
}

function isAfter(time: string, epoch: number): boolean {
  const whole = Math.floor(Date.parse(time) / 1000);
  return whole > epoch || (whole === epoch && /\.\d*[1-9]/.test(time));
}

/** Seconds since the epoch as RFC 3339 in UTC without a fraction. */
export function isoTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
