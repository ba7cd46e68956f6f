import type { Digest } from '../../wire/oci/digest.ts';
import { DigestMismatchError, InvalidArchiveError, StoreUnwritableError } from './store-error.ts';

/** What a task may ask while it runs in a worker. */
export interface TaskContext {
  /** Fires between the task's awaits. */
  readonly signal: AbortSignal;
  /** Throws when the caller has aborted; also seen within a long synchronous stretch. */
  throwIfAborted(): void;
}

/** Work that a worker does: input and output are copied between threads. */
export type Task<I, O> = (input: I, context: TaskContext) => O | Promise<O>;

/** What the pool sends to a worker: a task, or word that the running one is no longer wanted. */
export type TaskMessage =
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly name: string;
      readonly input: unknown;
      readonly aborted: Int32Array;
    }
  | { readonly kind: 'abort'; readonly id: number };

/** What a worker answers. */
export type TaskReply =
  | { readonly id: number; readonly ok: true; readonly output: unknown }
  | { readonly id: number; readonly ok: false; readonly error: PackedError };

/** An error as it travels between threads, which copies of errors lose their class and fields in. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

/** Takes an error apart so that `unpackError` can make it again in another thread. */
export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), fields: {} };
  const fields: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(error)) {
    if (typeof value === 'string' || typeof value === 'number') fields[key] = value;
  }
  return {
    name: error.name,
    message: error.message,
    fields,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  };
}

/** The error that `packError` took apart: of the store's own class where it has one, else an `Error` with the same fields. */
export function unpackError(packed: PackedError): Error {
  const { name, message, stack, fields } = packed;
  const error = emptyError(packed);
  Object.assign(error, fields);
  error.message = message;
  if (stack !== undefined) error.stack = stack;
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true });
  return error;
}

function emptyError({ name, message, fields }: PackedError): Error {
  switch (name) {
    case 'DigestMismatchError':
      return new DigestMismatchError('', String(fields['expected']), String(fields['actual']));
    case 'StoreUnwritableError':
      return new StoreUnwritableError(String(fields['code']), '');
    case 'InvalidArchiveError':
      return new InvalidArchiveError(message);
    default:
      return new Error(message);
  }
}

/** Digest and size of a file. */
export interface FileHash {
  readonly digest: Digest;
  readonly size: number;
}
