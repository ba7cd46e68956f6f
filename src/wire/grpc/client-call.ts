import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { Code } from './code.ts';
import { codeOfHttpStatus, codeOfReset } from './http2-settings.ts';
import { readMessages, writeMessage } from './message-frame.ts';
import { first, fromRawHeaders, type Metadata, type MetadataInit, toHeaders } from './metadata.ts';
import type { Method } from './method.ts';
import { decodeMessage } from './service.ts';
import { readTrailers, StatusError, toStatusError } from './status.ts';
import { formatTimeout } from './timeout.ts';

/** What a caller may say beside the request. */
export interface CallOptions {
  readonly metadata?: MetadataInit;
  /** Cancels the call at both ends. */
  readonly signal?: AbortSignal;
  /** Milliseconds after which the call fails at both ends. */
  readonly timeout?: number;
}

/**
 * The responses of a call as they come. Reading fails with StatusError when the call does; who stops reading cancels the
 * call.
 */
export interface ClientCall<Response> extends AsyncIterable<Response> {
  /** What the other end sent before the first response; rejects with StatusError when the call fails before that. */
  readonly headers: Promise<Metadata>;
}

/** What a connection says of itself with each call. */
export interface CallHeaders {
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly userAgent: string;
}

/** How `node:http2` says that a connection takes no more calls. */
const UNSENT: ReadonlySet<unknown> = new Set(['ERR_HTTP2_GOAWAY_SESSION', 'ERR_HTTP2_INVALID_SESSION']);

/** Makes a call on an open connection. The requests are sent as fast as the other end takes them. */
export function startCall<RI, RO, SI, SO>(
  session: ClientHttp2Session,
  own: CallHeaders,
  method: Method<RI, RO, SI, SO>,
  requests: Iterable<RI> | AsyncIterable<RI>,
  limit: number,
  options: CallOptions,
): ClientCall<SO> {
  const { signal, timeout } = options;
  signal?.throwIfAborted();
  const stream = session.request(
    {
      ':method': 'POST',
      ':scheme': own.scheme,
      ':path': method.path,
      ':authority': own.authority,
      'content-type': 'application/grpc',
      'user-agent': own.userAgent,
      te: 'trailers',
      'grpc-accept-encoding': 'gzip',
      ...(timeout === undefined ? {} : { 'grpc-timeout': formatTimeout(timeout) }),
      ...toHeaders(options.metadata ?? []),
    },
    { endStream: false },
  );

  /** Why this end gave up. */
  let failure: StatusError | undefined;
  const fail = (error: unknown): void => {
    failure ??= toStatusError(error);
    stream.close(constants.NGHTTP2_CANCEL);
  };
  const abort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(fail, timeout, new StatusError(Code.deadlineExceeded, 'context deadline exceeded'));
  stream.once('close', () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  });
  // Told when the responses are read.
  let streamError: Error | undefined;
  stream.on('error', error => (streamError = error));

  let headers: Metadata | undefined;
  let trailers: Metadata | undefined;
  const headersReceived = new Promise<Metadata>((resolve, reject) => {
    stream.once('response', (_headers, _flags, raw) => {
      headers = fromRawHeaders(raw);
      resolve(headers);
    });
    stream.once('close', () => reject(lost()));
  });
  // Most callers do not look at it.
  headersReceived.catch(() => {});
  stream.once('trailers', (_trailers, _flags, raw) => (trailers = fromRawHeaders(raw)));
  const closed = new Promise<void>(resolve => void stream.once('close', resolve));

  /** Waits for how the call ended: of a stream that is reset with its end, trailers are told after the end was read. */
  async function statusReceived(): Promise<void> {
    if (failure === undefined && trailers === undefined && headers?.has('grpc-status') !== true) await closed;
  }

  function lost(): StatusError {
    if (failure !== undefined) return failure;
    const message = streamError?.message ?? `the stream was closed with code ${stream.rstCode}`;
    const isUnsent = streamError !== undefined && 'code' in streamError && UNSENT.has(streamError.code);
    if (isUnsent || session.destroyed || stream.rstCode === constants.NGHTTP2_NO_ERROR || stream.rstCode === undefined)
      return new StatusError(Code.unavailable, `error reading from server: ${message}`, { cause: streamError });
    return new StatusError(codeOfReset(stream.rstCode), `stream terminated by RST_STREAM: ${message}`, {
      cause: streamError,
    });
  }

  /** Throws unless the call ended well. */
  function judge(): void {
    if (failure !== undefined) throw failure;
    if (headers === undefined) throw lost();
    const httpStatus = Number(first(headers, ':status'));
    const status = trailers ?? headers;
    if (httpStatus !== 200 && !status.has('grpc-status'))
      throw new StatusError(
        codeOfHttpStatus(httpStatus),
        `unexpected HTTP status code received from server: ${httpStatus}`,
      );
    if (trailers === undefined && !headers.has('grpc-status')) throw lost();
    const error = readTrailers(status);
    if (error !== undefined) throw error;
  }

  void sendRequests(stream, method, requests, limit).catch(fail);

  async function* responses(): AsyncGenerator<SO, void, undefined> {
    let isComplete = false;
    try {
      const encoding = (): string | undefined => headers && first(headers, 'grpc-encoding');
      for await (const bytes of readMessages(stream, { limit, encoding }))
        yield decodeMessage(bytes, method.response.decode);
      isComplete = true;
    } catch (error) {
      if (error instanceof StatusError) fail(error);
      else {
        await statusReceived();
        if (failure === undefined && trailers === undefined) throw lost();
      }
      isComplete = true;
    } finally {
      stream.close(isComplete ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
    }
    await statusReceived();
    judge();
  }

  return {
    headers: headersReceived,
    [Symbol.asyncIterator]: responses,
  };
}

async function sendRequests<RI, RO, SI, SO>(
  stream: ClientHttp2Stream,
  method: Method<RI, RO, SI, SO>,
  requests: Iterable<RI> | AsyncIterable<RI>,
  limit: number,
): Promise<void> {
  for await (const request of requests) {
    // The other end needs no more to answer; why it stopped is in its status.
    if (stream.destroyed || stream.closed) return;
    try {
      await writeMessage(stream, method.request.encode(request), limit);
    } catch (error) {
      if (stream.destroyed || stream.closed) return;
      throw error;
    }
  }
  stream.end();
}
