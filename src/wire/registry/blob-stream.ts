import { createHash } from 'node:crypto';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Endpoint } from './endpoint.ts';
import type { Limiter } from './limiter.ts';
import { networkError, RegistryError } from './registry-error.ts';
import type { Sender } from './sender.ts';
import { discard, headerOf } from './transport.ts';

/** How a blob is read. */
export interface BlobOptions {
  /** Called with the bytes that came, from the blob's start, each time that some did. */
  readonly onProgress?: (received: number) => void;
  /** Whether the digest is checked here. Leave it out only where whoever takes the bytes checks it. Default: true. */
  readonly verify?: boolean;
}

/** A blob as seen from one server that may have it. */
export interface BlobLocation {
  readonly endpoint: Endpoint;
  readonly path: string;
  readonly scopes: readonly string[];
  readonly limiter: Limiter;
}

/**
 * Reads a blob from the first server that gives it. When the connection drops, reading goes on where it stopped. Ends only
 * after size and digest were found right.
 * @throws RegistryError `corrupt` when the bytes are others than the descriptor says
 */
export async function* blobStream(
  sender: Sender,
  locations: readonly BlobLocation[],
  descriptor: Descriptor,
  what: string,
  options: BlobOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const hash = options.verify === false ? undefined : createHash('sha256');
  let received = 0;
  let lastError: unknown;
  for (const location of locations) {
    const { endpoint } = location;
    for (let attempt = 1; attempt <= sender.policy.attempts; attempt++) {
      const before = received;
      try {
        for await (const chunk of readFrom(sender, location, descriptor, received, what, signal)) {
          received += chunk.length;
          if (received > descriptor.size) throw corrupt(endpoint, what, `it is longer than ${descriptor.size} bytes`);
          hash?.update(chunk);
          options.onProgress?.(received);
          yield chunk;
        }
        if (received < descriptor.size) throw cutOff(endpoint, what, received, descriptor.size);
        const actual = hash === undefined ? descriptor.digest : `sha256:${hash.digest('hex')}`;
        if (actual !== descriptor.digest) throw corrupt(endpoint, what, `its bytes have the digest ${actual}`);
        return;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        lastError =
          error instanceof RegistryError ? error : networkError(endpoint.host, what, sender.silence, attempt, error);
        // An answer that is final for this server; what was already read stays read, the next one goes on from there.
        if (error instanceof RegistryError && !(error instanceof CutOffError)) break;
        if (received > before) attempt = 0;
        await sender.pause(attempt + 1, signal);
      }
    }
    if (lastError instanceof RegistryError && lastError.code === 'corrupt' && received > 0) throw lastError;
  }
  throw lastError;
}

/** A body that ended early without an error of its own. */
class CutOffError extends RegistryError {}

function cutOff(endpoint: Endpoint, what: string, received: number, size: number): CutOffError {
  const { host } = endpoint;
  return new CutOffError('unavailable', `${host} cut off ${what} after ${received} of ${size} bytes`, { host });
}

function corrupt(endpoint: Endpoint, what: string, why: string): RegistryError {
  const { host } = endpoint;
  return new RegistryError('corrupt', `${host} sent other bytes for ${what} than asked for: ${why}`, { host });
}

async function* readFrom(
  sender: Sender,
  location: BlobLocation,
  descriptor: Descriptor,
  offset: number,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  using _ = await location.limiter.enter(signal);
  // Everything may have come before the connection broke.
  if (offset === descriptor.size && offset > 0) return;
  const answer = await sender.send(
    location.endpoint,
    {
      method: 'GET',
      path: location.path,
      scopes: location.scopes,
      accept: [200, 206],
      what,
      headers: offset > 0 ? { range: `bytes=${offset}-` } : {},
    },
    signal,
  );
  try {
    let skip = answer.status === 206 ? offset - startOf(headerOf(answer, 'content-range'), offset) : offset;
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      if (skip >= chunk.length) {
        skip -= chunk.length;
        continue;
      }
      yield skip > 0 ? chunk.subarray(skip) : chunk;
      skip = 0;
    }
  } finally {
    if (!answer.body.readableEnded) {
      answer.body.on('error', () => {});
      answer.body.destroy();
    }
  }
}

/** The first byte of `bytes 5-9/10`. */
function startOf(range: string | undefined, asked: number): number {
  const match = /^bytes (\d+)-/.exec(range ?? '');
  return match === null ? asked : Math.min(asked, Number(match[1]));
}

/** Reads a whole small thing (manifest, config) into memory. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Asks whether a server has a blob. */
export async function blobExists(
  sender: Sender,
  location: BlobLocation,
  what: string,
  push: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await sender.send(
    location.endpoint,
    { method: 'HEAD', path: location.path, scopes: location.scopes, accept: [200, 404], what, push },
    signal,
  );
  await discard(answer);
  return answer.status === 200;
}
