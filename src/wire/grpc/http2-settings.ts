import type { SessionOptions } from 'node:http2';
import { constants } from 'node:http2';
import { Code } from './code.ts';

const MIB = 1024 * 1024;

/** The most bytes of a message that a daemon and its clients send and take. */
export const DEFAULT_LIMIT = 16 * MIB;

/** What a connection holds in flight for all its streams together. */
export const CONNECTION_WINDOW = 16 * MIB;

/**
 * How both ends speak HTTP/2. Method lists, patterns and error details make headers larger and more numerous than `node:http2`
 * takes by default. (One header of more than 64 KiB still ends the connection: nghttp2 takes no larger ones.)
 */
export const sessionOptions: SessionOptions & {
  readonly maxHeaderListPairs: number;
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
} = {
  settings: { initialWindowSize: MIB, maxHeaderListSize: 16 * MIB, enablePush: false },
  maxHeaderListPairs: 1 << 16,
  maxSendHeaderBlockLength: 16 * MIB,
  maxSessionMemory: 256,
  maxOutstandingPings: 100,
  // Peers end each call by resetting its stream.
  streamResetBurst: 10_000,
  streamResetRate: 1000,
};

/** The status of a stream that was reset (gRPC over HTTP2, Errors). */
export function codeOfReset(code: number | undefined): Code {
  switch (code) {
    case constants.NGHTTP2_REFUSED_STREAM:
      return Code.unavailable;
    case constants.NGHTTP2_CANCEL:
      return Code.canceled;
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return Code.resourceExhausted;
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return Code.permissionDenied;
    default:
      return Code.internal;
  }
}

/** The status of an answer that is none of gRPC (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md). */
export function codeOfHttpStatus(status: number): Code {
  switch (status) {
    case 400:
      return Code.internal;
    case 401:
      return Code.unauthenticated;
    case 403:
      return Code.permissionDenied;
    case 404:
      return Code.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Code.unavailable;
    default:
      return Code.unknown;
  }
}
