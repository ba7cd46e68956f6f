import type { Descriptor } from '../oci/descriptor.ts';
import type { Endpoint } from './endpoint.ts';
import { RegistryError } from './registry-error.ts';
import type { Sender } from './sender.ts';
import { type Answer, discard, headerOf } from './transport.ts';

/** A blob that is to be pushed, readable from any place in it, as often as needed. */
export interface UploadSource {
  readonly descriptor: Descriptor;
  open(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** How a blob got to the registry. */
export type UploadOutcome = 'exists' | 'mounted' | 'uploaded';

/** Where and how a blob is pushed. */
export interface UploadTarget {
  readonly endpoint: Endpoint;
  /** Repository path inside the registry. */
  readonly repository: string;
  readonly scopes: readonly string[];
  readonly what: string;
  /** Called with the bytes that were handed to the connection, from the blob's start. */
  readonly onProgress?: (sent: number) => void;
}

/** Requests that carry a part of a blob, in bytes. */
const CHUNK = 32 * 1024 * 1024;

/**
 * Starts an upload, asking to mount the blob from another repository of the registry where one is known to have it.
 * @returns the URL to upload to, or `undefined` when the blob was mounted
 */
export async function startUpload(
  sender: Sender,
  target: UploadTarget,
  mount: { readonly digest: string; readonly from: string } | undefined,
  signal: AbortSignal,
): Promise<URL | undefined> {
  const query = mount === undefined ? '' : `?${new URLSearchParams({ mount: mount.digest, from: mount.from })}`;
  const scopes = mount === undefined ? target.scopes : [...target.scopes, `repository:${mount.from}:pull`];
  const answer = await sender.send(
    target.endpoint,
    {
      method: 'POST',
      path: `/${target.repository}/blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
      scopes,
      accept: mount === undefined ? [202] : [201, 202],
      what: target.what,
      push: true,
    },
    signal,
  );
  await discard(answer);
  return answer.status === 201 ? undefined : locationOf(target.endpoint, answer);
}

/**
 * Sends a blob's bytes: all in one request first; if that breaks off, or the server finds it too large, in parts, each going
 * on from where the server says that it is.
 */
export async function upload(
  sender: Sender,
  target: UploadTarget,
  location: URL,
  source: UploadSource,
  signal: AbortSignal,
): Promise<void> {
  const { size } = source.descriptor;
  try {
    await finish(sender, target, location, source, 0, signal);
  } catch (error) {
    const mendable = error instanceof RegistryError && (error.code === 'unavailable' || error.status === 413);
    if (!mendable || signal.aborted || size === 0) throw error;
    await sender.pause(1, signal);
    const again = await startUpload(sender, target, undefined, signal);
    if (again !== undefined) await uploadInParts(sender, target, again, source, signal);
  }
}

async function uploadInParts(
  sender: Sender,
  target: UploadTarget,
  start: URL,
  source: UploadSource,
  signal: AbortSignal,
): Promise<void> {
  const { size } = source.descriptor;
  let location = start;
  let offset = 0;
  for (let attempt = 1; offset < size; ) {
    const end = Math.min(offset + CHUNK, size);
    try {
      const answer = await sender.send(
        target.endpoint,
        {
          method: 'PATCH',
          path: location,
          headers: {
            'content-type': 'application/octet-stream',
            'content-length': String(end - offset),
            'content-range': `${offset}-${end - 1}`,
          },
          body: () => counted(source, offset, end, target.onProgress, signal),
          scopes: target.scopes,
          accept: [202],
          what: target.what,
          push: true,
          slow: true,
          attempts: 1,
        },
        signal,
      );
      await discard(answer);
      location = locationOf(target.endpoint, answer);
      offset = end;
      attempt = 1;
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'unavailable' || attempt >= sender.policy.attempts)
        throw error;
      await sender.pause(attempt++, signal);
      ({ location, offset } = await uploadState(sender, target, location, signal));
    }
  }
  await finish(sender, target, location, source, size, signal);
}

/** How much of an upload the server has. */
async function uploadState(
  sender: Sender,
  target: UploadTarget,
  location: URL,
  signal: AbortSignal,
): Promise<{ location: URL; offset: number }> {
  const answer = await sender.send(
    target.endpoint,
    { method: 'GET', path: location, scopes: target.scopes, accept: [204], what: target.what, push: true },
    signal,
  );
  await discard(answer);
  const match = /^(?:bytes=)?0-(\d+)$/.exec(headerOf(answer, 'range') ?? '');
  // An upload without a byte is reported as `0-0` too, so that answer cannot be trusted for one byte.
  const last = match === null ? 0 : Number(match[1]);
  return { location: locationOf(target.endpoint, answer), offset: last === 0 ? 0 : last + 1 };
}

/** Sends what is left from `offset` on and closes the upload under the blob's digest. */
async function finish(
  sender: Sender,
  target: UploadTarget,
  location: URL,
  source: UploadSource,
  offset: number,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size } = source.descriptor;
  const url = new URL(location);
  url.searchParams.set('digest', digest);
  const answer = await sender.send(
    target.endpoint,
    {
      method: 'PUT',
      path: url,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size - offset) },
      ...(size > offset ? { body: () => counted(source, offset, size, target.onProgress, signal) } : {}),
      scopes: target.scopes,
      accept: [201, 204],
      what: target.what,
      push: true,
      slow: true,
      // A broken upload has to be started anew, which is not for the sender to do.
      attempts: 1,
    },
    signal,
  );
  await discard(answer);
}

async function* counted(
  source: UploadSource,
  from: number,
  to: number,
  onProgress: ((sent: number) => void) | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  let at = from;
  for await (const chunk of source.open(from, signal)) {
    const part = chunk.length > to - at ? chunk.subarray(0, to - at) : chunk;
    at += part.length;
    yield part;
    onProgress?.(at);
    if (at >= to) return;
  }
}

function locationOf(endpoint: Endpoint, answer: Answer): URL {
  const location = headerOf(answer, 'location');
  const { host } = endpoint;
  if (location === undefined) {
    throw new RegistryError('refused', `${host} gave no place to upload to`, { host, status: answer.status });
  }
  return new URL(location, `${endpoint.scheme}://${host}`);
}
