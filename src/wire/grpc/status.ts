import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Status, StatusSchema } from '../proto/gen/google/rpc/status_pb.ts';
import { Code, isCode } from './code.ts';
import { first, type Metadata, noMetadata } from './metadata.ts';

/** Something that is told about a failure beside its message: the type's URL and the bytes, which are of that type. */
export interface StatusDetail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** A call that failed, here or at the other end. The message is the other end's as it stands. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: Code;
  readonly details: readonly StatusDetail[];
  /** What else came with the status. */
  readonly metadata: Metadata;

  constructor(
    code: Code,
    message: string,
    options: {
      readonly details?: readonly StatusDetail[];
      readonly metadata?: Metadata;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? [];
    this.metadata = options.metadata ?? noMetadata;
  }
}

/** Whether an error is a failed call with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly Code[]): error is StatusError {
  return error instanceof StatusError && codes.includes(error.code);
}

/** Anything thrown as the status it becomes on the wire: itself, `canceled` for an abort, else `unknown`. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (!(error instanceof Error)) return new StatusError(Code.unknown, String(error));
  if (error.name === 'AbortError') return new StatusError(Code.canceled, 'context canceled', { cause: error });
  if (error.name === 'TimeoutError')
    return new StatusError(Code.deadlineExceeded, 'context deadline exceeded', { cause: error });
  return new StatusError(Code.unknown, error.message, { cause: error });
}

/** A failure as the message that travels in answers and results. */
export function toStatusMessage(error: StatusError): Status {
  return create(StatusSchema, {
    code: error.code,
    message: error.message,
    details: error.details.map(({ typeUrl, value }) => ({ typeUrl, value })),
  });
}

/** The error of a status message; a code that is none counts as `unknown`. */
export function fromStatusMessage(status: Status): StatusError {
  return new StatusError(isCode(status.code) ? status.code : Code.unknown, status.message, {
    details: status.details.map(({ typeUrl, value }) => ({ typeUrl, value })),
  });
}

/** The trailers that end a call. Details are in `grpc-status-details-bin`, base64 without padding, as in Go. */
export function statusTrailers(error: StatusError | undefined): Record<string, string | readonly string[]> {
  if (error === undefined) return { 'grpc-status': '0' };
  const trailers: Record<string, string | readonly string[]> = {
    ...Object.fromEntries(error.metadata),
    'grpc-status': String(error.code),
    'grpc-message': percentEncode(error.message),
  };
  if (error.details.length > 0) {
    const bytes = Buffer.from(toBinary(StatusSchema, toStatusMessage(error)));
    trailers['grpc-status-details-bin'] = bytes.toString('base64').replace(/=+$/, '');
  }
  return trailers;
}

/** The failure that trailers tell of, if they do; undefined for success. Throws StatusError when they tell nothing. */
export function readTrailers(trailers: Metadata): StatusError | undefined {
  const status = first(trailers, 'grpc-status');
  if (status === undefined) throw new StatusError(Code.internal, 'server closed the stream without sending trailers');
  const code = Number(status);
  if (code === Code.ok) return undefined;
  const message = percentDecode(first(trailers, 'grpc-message') ?? '');
  const encoded = first(trailers, 'grpc-status-details-bin');
  return new StatusError(isCode(code) ? code : Code.unknown, message, {
    details: encoded === undefined ? [] : readDetails(encoded),
    metadata: new Map([...trailers].filter(([name]) => !/^(?::|grpc-|content-type$)/.test(name))),
  });
}

function readDetails(encoded: string): readonly StatusDetail[] {
  try {
    return fromStatusMessage(fromBinary(StatusSchema, Buffer.from(encoded, 'base64'))).details;
  } catch {
    // Code and message stand beside it.
    return [];
  }
}

const UNSAFE = /[^ -$&-~]/;

function percentEncode(message: string): string {
  if (!UNSAFE.test(message)) return message;
  let encoded = '';
  for (const byte of Buffer.from(message)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  const bytes = Buffer.from(text).toString('latin1');
  return Buffer.from(
    bytes.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();
}
