import { constants, type ServerHttp2Stream } from 'node:http2';
import { Code } from './code.ts';
import { readMessages, writeMessage } from './message-frame.ts';
import { first, fromRawHeaders, type MetadataInit, toHeaders } from './metadata.ts';
import type { Route, ServerCall } from './service.ts';
import { StatusError, statusTrailers, toStatusError } from './status.ts';
import { parseTimeout } from './timeout.ts';

const ACCEPTED = 'identity,gzip';
/** `setTimeout` takes no more. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Runs one call on its stream. Settles, never rejects, when the answer is complete; with the failure, if it was one. */
export async function serveCall(
  stream: ServerHttp2Stream,
  rawHeaders: readonly string[],
  route: Route,
  limit: number,
): Promise<StatusError | undefined> {
  const metadata = fromRawHeaders(rawHeaders);
  for (const name of metadata.keys()) if (name.startsWith(':')) metadata.delete(name);
  const controller = new AbortController();
  const { signal } = controller;
  const deadline = startDeadline(first(metadata, 'grpc-timeout'), controller);
  stream.once('close', () => controller.abort(new StatusError(Code.canceled, 'context canceled')));

  const call: ServerCall = {
    path: route.path,
    metadata,
    signal,
    sendHeaders: (more: MetadataInit = []) => {
      if (stream.headersSent || stream.destroyed) return;
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-accept-encoding': ACCEPTED, ...toHeaders(more) },
        { waitForTrailers: true },
      );
    },
  };

  const requests = readRequests(stream, limit, first(metadata, 'grpc-encoding'));
  let failure: StatusError | undefined;
  try {
    const responses = route.run(requests, call)[Symbol.asyncIterator]();
    try {
      let next = responses.next();
      // A caller of a stream may wait for the headers before it goes on.
      if (route.answersMany && !(await settlesAtOnce(next))) call.sendHeaders();
      for (;;) {
        const { done, value } = await unlessAborted(next, signal);
        if (done) break;
        call.sendHeaders();
        await writeMessage(stream, value, limit);
        next = responses.next();
      }
      call.sendHeaders();
    } catch (error) {
      // What still runs sees the signal; nobody waits for it.
      responses.return?.().catch(() => {});
      throw error;
    }
  } catch (error) {
    failure = toStatusError(signal.aborted ? signal.reason : error);
  }
  clearTimeout(deadline);
  if (!stream.destroyed) endStream(stream, failure);
  controller.abort(new StatusError(Code.canceled, 'context canceled'));
  return failure;
}

function startDeadline(timeout: string | undefined, controller: AbortController): NodeJS.Timeout | undefined {
  const milliseconds = timeout === undefined ? undefined : parseTimeout(timeout);
  if (milliseconds === undefined || milliseconds > LONGEST_TIMER) return undefined;
  const expire = (): void => controller.abort(new StatusError(Code.deadlineExceeded, 'context deadline exceeded'));
  return setTimeout(expire, milliseconds).unref();
}

async function* readRequests(
  stream: ServerHttp2Stream,
  limit: number,
  encoding: string | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* readMessages(stream, { limit, encoding: () => encoding });
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError(Code.canceled, 'context canceled', { cause: error });
  }
}

function settlesAtOnce(promise: Promise<unknown>): Promise<boolean> {
  return new Promise(resolve => {
    const settled = (): void => resolve(true);
    promise.then(settled, settled);
    setImmediate(resolve, false);
  });
}

/** The value of a promise, or the reason of the signal if that is aborted first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function endStream(stream: ServerHttp2Stream, failure: StatusError | undefined): void {
  const trailers = toHeaders(Object.entries(statusTrailers(failure)));
  if (stream.headersSent) {
    stream.once('wantTrailers', () => {
      if (stream.destroyed) return;
      stream.sendTrailers(trailers);
      stopReading(stream);
    });
    stream.end();
  } else {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true });
    stopReading(stream);
  }
}

/** What the caller still sends is of no use: takes and drops it, and tells the caller to stop (RFC 9113, 8.1). */
function stopReading(stream: ServerHttp2Stream): void {
  stream.resume();
  if (stream.readableEnded) return;
  setImmediate(() => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}
