import { readStoredImage } from '../../../store/content/stored-image.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import { formatReference, parseReference, withDefaultTag, withTag } from '../../../wire/oci/reference.ts';
import type { Engine } from '../../builder/engine.ts';
import type { DaemonServices } from '../daemon-services.ts';
import {
  type ApiCall,
  ApiError,
  type ApiRoute,
  readFilters,
  readFlag,
  readJsonParameter,
  sendJson,
} from './api-call.ts';
import {
  findImage,
  imageID,
  type NamedImage,
  openImage,
  readReference,
  requireReference,
  storedImages,
  summaryOf,
} from './stored-images.ts';

/** Images of the store: which there are, what is in them, and what they are called (docker-api facts, 5). */
export function imageRoutes({ engine }: DaemonServices): ApiRoute[] {
  return [
    { method: 'GET', path: /^\/images\/json$/, answer: call => list(engine, call) },
    { method: 'GET', path: /^\/images\/(.+)\/json$/, answer: (call, name = '') => inspect(engine, call, name) },
    { method: 'GET', path: /^\/images\/(.+)\/history$/, answer: (call, name = '') => history(engine, call, name) },
    {
      method: 'POST',
      path: /^\/images\/(.+)\/tag$/,
      async answer(call, name = '') {
        const { target } = await findImage(engine, name, call.signal);
        const repository = requireReference(call.query.get('repo') ?? '');
        const tag = call.query.get('tag');
        const reference = tag ? withTag(repository, tag) : withDefaultTag(repository);
        engine.images.put(formatReference(parseReference(formatReference(reference))), target);
        call.response.writeHead(201, { 'content-length': 0 });
        call.response.end();
      },
    },
    { method: 'POST', path: /^\/images\/prune$/, answer: call => prune(engine, call) },
    { method: 'DELETE', path: /^\/images\/(.+)$/, answer: (call, name = '') => remove(engine, call, name) },
  ];
}

async function list(engine: Engine, call: ApiCall): Promise<void> {
  const filters = readFilters(call.query);
  const references = filters.get('reference') ?? [];
  const [dangling] = filters.get('dangling') ?? [];
  const labels = filters.get('label') ?? [];
  const isWanted = (name: string): boolean => references.some(pattern => isCalled(name, pattern));
  const onlyWanted = (image: NamedImage): NamedImage =>
    references.length === 0
      ? image
      : { ...image, tags: image.tags.filter(isWanted), digests: image.digests.filter(isWanted) };
  const images = storedImages(engine).filter(({ tags }) => {
    if (dangling !== undefined && (tags.length === 0) !== isTrue(dangling)) return false;
    return references.length === 0 || tags.some(isWanted);
  });
  const summaries = await Promise.all(images.map(image => summaryOf(engine, onlyWanted(image), call.signal)));
  const chosen = summaries.filter(({ Labels: own }) => labels.every(label => hasLabel(own, label)));
  sendJson(
    call,
    chosen.sort((a, b) => Number(b['Created']) - Number(a['Created'])),
  );
}

function isTrue(text: string): boolean {
  return text === 'true' || text === '1';
}

/** Whether a pattern means a name with a tag or a digest. */
function isCalled(name: string, pattern: string): boolean {
  const repository = name.replace(/@.*|:[^:/]*$/, '');
  const expression = pattern
    .split('*')
    .map(part => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    .join('[^/]*');
  const regular = new RegExp(`^${expression}$`);
  return regular.test(name) || regular.test(repository);
}

function hasLabel(labels: unknown, wanted: string): boolean {
  if (typeof labels !== 'object' || labels === null) return false;
  const [key = '', ...rest] = wanted.split('=');
  const value: unknown = Reflect.get(labels, key);
  return value !== undefined && (rest.length === 0 || value === rest.join('='));
}

async function inspect(engine: Engine, call: ApiCall, name: string): Promise<void> {
  const found = await findImage(engine, name, call.signal);
  const { target, tags, digests, records } = found;
  const stored = await readStoredImage(engine.content, target, call.signal);
  const { image, config } = await openImage(engine, target, platformParameter(call), call.signal);
  const tagged = Math.max(...records.map(({ updatedAt }) => updatedAt));
  sendJson(call, {
    Id: stored.id,
    RepoTags: tags,
    RepoDigests: digests,
    Parent: '',
    Comment: '',
    Created: config.created ?? '',
    DockerVersion: '',
    Author: config.author ?? '',
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: stored.size,
    GraphDriver: { Data: null, Name: 'overlayfs' },
    RootFS: { Type: 'layers', Layers: image.layers.map(({ diffId }) => diffId) },
    Metadata: { LastTagTime: new Date(tagged).toISOString() },
    Descriptor: target,
  });
}

/** `platform`, as JSON or as text. */
export function platformParameter({ query }: ApiCall): Platform | undefined {
  const text = query.get('platform');
  if (!text) return undefined;
  if (!text.startsWith('{')) {
    const [os = '', architecture = '', variant] = text.split('/');
    return { os, architecture, ...(variant === undefined ? {} : { variant }) };
  }
  const value = readJsonParameter(query, 'platform', 'platform');
  const member = (key: string): string => String((typeof value === 'object' && value && Reflect.get(value, key)) ?? '');
  const variant = member('variant');
  return { os: member('os'), architecture: member('architecture'), ...(variant === '' ? {} : { variant }) };
}

async function history(engine: Engine, call: ApiCall, name: string): Promise<void> {
  const { target, tags } = await findImage(engine, name, call.signal);
  const { image, config } = await openImage(engine, target, platformParameter(call), call.signal);
  const sizes = image.layers.map(({ descriptor }) => descriptor.size);
  const entries = (config.history ?? []).map(entry => ({
    Id: '<missing>',
    Created: entry.created === undefined ? 0 : Math.floor(Date.parse(entry.created) / 1000),
    CreatedBy: entry.created_by ?? '',
    Tags: null as readonly string[] | null,
    Size: entry.empty_layer === true ? 0 : (sizes.shift() ?? 0),
    Comment: entry.comment ?? '',
  }));
  const newestFirst = entries.reverse();
  const id = await imageID(engine, target, call.signal);
  sendJson(
    call,
    newestFirst.map((entry, index) => (index === 0 ? { ...entry, Id: id, Tags: tags } : entry)),
  );
}

/** Takes names away. What no name leads to any more goes with the next pruning. */
async function remove(engine: Engine, call: ApiCall, name: string): Promise<void> {
  const found = await findImage(engine, name, call.signal);
  const id = await imageID(engine, found.target, call.signal);
  const own = recordsCalled(found, name);
  if (own === undefined && found.tags.length > 1 && !readFlag(call.query, 'force')) {
    throw new ApiError(
      409,
      `conflict: unable to delete ${id.slice('sha256:'.length, 'sha256:'.length + 12)} (must be forced) - image is referenced in multiple repositories`,
    );
  }
  sendJson(call, untag(engine, found, own ?? found.records, id));
}

/** The names that are meant by a name; undefined when an id was given. */
function recordsCalled({ records }: NamedImage, name: string): NamedImage['records'] | undefined {
  const reference = readReference(name);
  const whole = reference && formatReference(withDefaultTag(reference));
  const called = records.filter(record => record.name === whole);
  return called.length > 0 ? called : undefined;
}

function untag(
  { images }: Engine,
  { records }: NamedImage,
  gone: NamedImage['records'],
  id: string,
): Readonly<Record<string, string>>[] {
  for (const record of gone) images.delete(record.name);
  const untagged = gone.map(record => ({ Untagged: familiar(record.name) }));
  return gone.length === records.length ? [...untagged, { Deleted: id }] : untagged;
}

function familiar(name: string): string {
  const reference = readReference(name);
  if (reference === undefined) return name;
  return formatReference(reference).replace(/^docker\.io\/(?:library\/)?/, '');
}

async function prune(engine: Engine, call: ApiCall): Promise<void> {
  const filters = readFilters(call.query);
  const all = filters.get('dangling')?.some(value => !isTrue(value)) === true;
  const labels = filters.get('label') ?? [];
  const until = filters.get('until')?.[0];
  const before = until === undefined ? Number.POSITIVE_INFINITY : Date.now() - durationOf(until);
  const deleted: Readonly<Record<string, string>>[] = [];
  let reclaimed = 0;
  for (const image of storedImages(engine)) {
    if (!all && image.tags.length > 0) continue;
    const summary = await summaryOf(engine, image, call.signal);
    if (Number(summary['Created']) * 1000 > before) continue;
    if (!labels.every(label => hasLabel(summary['Labels'], label))) continue;
    deleted.push(...untag(engine, image, image.records, String(summary['Id'])));
    reclaimed += Number(summary['Size']);
  }
  sendJson(call, { ImagesDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimed });
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/** Milliseconds of `1h30m`. Throws ApiError. */
export function durationOf(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+$/.test(text)) throw new ApiError(400, `invalid duration ${text}`);
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g)) {
    sum += Number(number) * (UNITS[unit ?? ''] ?? 0);
  }
  return sum;
}
