import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ExportProgress } from '../../../engine/exporter/export-progress.ts';
import { savedImages } from '../../../engine/exporter/oci-archive.ts';
import { pushImage } from '../../../engine/exporter/push.ts';
import { isDigest } from '../../../wire/oci/digest.ts';
import { normalizePlatform } from '../../../wire/oci/platform.ts';
import {
  familiarName,
  familiarReference,
  formatReference,
  isTag,
  type Reference,
  withDefaultTag,
  withDigest,
  withTag,
} from '../../../wire/oci/reference.ts';
import type { Engine } from '../../builder/engine.ts';
import type { DaemonServices } from '../daemon-services.ts';
import { errorText } from '../error-status.ts';
import { type ApiCall, ApiError, type ApiRoute, sendJson } from './api-call.ts';
import { unpackBody } from './archive-body.ts';
import { platformParameter } from './image-routes.ts';
import { loadArchive } from './load-archive.ts';
import { type MessageStream, messageStream } from './message-stream.ts';
import { pullImage } from './pull-image.ts';
import { credentialsOfRequest } from './registry-auth.ts';
import { findImage, imageID, readReference, requireReference, storedImages } from './stored-images.ts';
import { writtenImage } from './written-image.ts';

/** Images that come and go: from and to registries, and as archives (docker-api facts, 5). */
export function transferRoutes(services: DaemonServices): ApiRoute[] {
  const { engine } = services;
  return [
    { method: 'POST', path: /^\/images\/create$/, answer: call => pull(services, call) },
    { method: 'POST', path: /^\/images\/load$/, answer: call => load(services, call) },
    { method: 'POST', path: /^\/images\/(.+)\/push$/, answer: (call, name = '') => push(engine, call, name) },
    { method: 'GET', path: /^\/images\/get$/, answer: call => save(engine, call, call.query.getAll('names')) },
    { method: 'GET', path: /^\/images\/(.+)\/get$/, answer: (call, name = '') => save(engine, call, [name]) },
    {
      method: 'GET',
      path: /^\/distribution\/(.+)\/json$/,
      async answer(call, name = '') {
        const reference = withDefaultTag(requireReference(name));
        await using registry = engine.openRegistry({ credentials: credentialsOfRequest(call.request.headers) });
        const target = await registry.resolve(reference, call.signal);
        sendJson(call, { Descriptor: target, Platforms: target.platform === undefined ? [] : [target.platform] });
      },
    },
  ];
}

async function pull({ engine, gate }: DaemonServices, call: ApiCall): Promise<void> {
  const { query, request, response, signal } = call;
  const from = query.get('fromImage');
  if (!from)
    throw new ApiError(501, 'importing a file system as an image is not supported: build FROM scratch instead');
  const reference = referenceOf(from, query.get('tag') ?? '');
  const platform = platformParameter(call);
  using _store = await gate.enter(signal);
  await using registry = engine.openRegistry({ credentials: credentialsOfRequest(request.headers) });
  const messages = messageStream(response);
  await telling(messages, signal, async () => {
    messages.send({ status: `Pulling from ${reference.path}`, id: reference.tag ?? reference.digest ?? '' });
    const wanted = platform === undefined ? engine.platform : normalizePlatform(platform);
    const { target, isNew } = await pullImage(engine, registry, reference, wanted, messages, signal);
    messages.send({ status: `Digest: ${target.digest}` });
    const what = isNew ? 'Downloaded newer image' : 'Image is up to date';
    messages.send({ status: `Status: ${what} for ${familiarReference(reference)}` });
  });
}

function referenceOf(name: string, tag: string): Reference {
  const reference = requireReference(name);
  if (tag === '') return withDefaultTag(reference);
  if (isDigest(tag)) return withDigest(reference, tag);
  if (!isTag(tag)) throw new ApiError(400, `invalid tag format: ${tag}`);
  return withTag(reference, tag);
}

async function push(engine: Engine, call: ApiCall, name: string): Promise<void> {
  const { query, request, response, signal } = call;
  const repository = requireReference(name);
  const tag = query.get('tag') ?? '';
  const names = tag === '' ? tagsOf(engine, repository) : [withTag(repository, tag)];
  if (names.length === 0) throw noTag(repository, '');
  const targets = await Promise.all(
    names.map(async reference => {
      const found = await findImage(engine, formatReference(reference), signal).catch(() => undefined);
      if (found === undefined) throw noTag(repository, reference.tag ?? '');
      return { reference, target: found.target };
    }),
  );
  await using registry = engine.openRegistry({ credentials: credentialsOfRequest(request.headers) });
  const messages = messageStream(response);
  await telling(messages, signal, async () => {
    messages.send({ status: `The push refers to repository [${repository.domain}/${repository.path}]` });
    for (const { reference, target } of targets) {
      const image = await writtenImage(engine, target, signal);
      const options = { byDigest: false, mountFrom: () => undefined };
      await pushImage(registry, engine.content, image, reference, options, progressOf(messages), signal);
      const { digest, size } = target;
      messages.send({ status: `${reference.tag}: digest: ${digest} size: ${size}` });
      messages.send({ progressDetail: {}, aux: { Tag: reference.tag, Digest: digest, Size: size } });
    }
  });
}

function noTag(repository: Reference, tag: string): ApiError {
  const name = familiarName(repository);
  return new ApiError(
    404,
    tag === ''
      ? `An image does not exist locally with the tag: ${name}`
      : `tag does not exist: ${familiarReference(withTag(repository, tag))}`,
  );
}

function tagsOf(engine: Engine, { domain, path }: Reference): Reference[] {
  return storedImages(engine).flatMap(({ records }) =>
    records.flatMap(record => {
      const reference = readReference(record.name);
      const isOne = reference?.domain === domain && reference.path === path && reference.digest === undefined;
      return isOne ? [reference] : [];
    }),
  );
}

function progressOf(messages: MessageStream): ExportProgress {
  return {
    async step(id, work) {
      messages.send({ status: id });
      return work(() => {});
    },
  };
}

async function save(engine: Engine, call: ApiCall, names: readonly string[]): Promise<void> {
  const { response, signal } = call;
  const images = [];
  for (const name of names) {
    const { target, tags } = await findImage(engine, name, signal);
    const reference = readReference(name);
    const whole = reference && familiarReference(withDefaultTag(reference));
    // An id has no name of its own.
    const own = whole !== undefined && tags.includes(whole) ? [whole] : [];
    images.push({ image: await writtenImage(engine, target, signal), names: own, created: {} });
  }
  response.writeHead(200, { 'content-type': 'application/x-tar' });
  await pipeline(savedImages(images, engine.content, signal), response, { signal });
}

async function load({ engine, gate }: DaemonServices, call: ApiCall): Promise<void> {
  const { request, response, signal } = call;
  using _store = await gate.enter(signal);
  const directory = await mkdtemp(join(tmpdir(), 'outcrop-load-'));
  try {
    await unpackBody(request, directory, signal);
    const images = await loadArchive(engine, directory, signal);
    const messages = messageStream(response);
    for (const { target, name } of images) {
      const reference = name === undefined ? undefined : readReference(name);
      const said =
        reference === undefined
          ? `Loaded image ID: ${await imageID(engine, target, signal)}`
          : `Loaded image: ${familiarReference(reference)}`;
      messages.send({ stream: `${said}\n` });
    }
    messages.end();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Does work whose failure is told where its progress was. */
async function telling(messages: MessageStream, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (signal.aborted) throw error;
    messages.fail(errorText(error));
    return;
  }
  messages.end();
}
