import type { Channel } from '../grpc/channel.ts';

/** A client that is there to be asked: for files, credentials, secrets and so on. */
export interface Session {
  readonly id: string;
  /** Finds what an earlier session of the same client sent; may be empty. */
  readonly sharedKey: string;
  /** Calls the client. */
  readonly channel: Channel;
  /** Whether the client serves a method, given as `/package.Service/Method` in any case. */
  supports(method: string): boolean;
  /** Aborted when the client is gone. */
  readonly closed: AbortSignal;
}

/** No client is there, or none that serves what is needed. */
export class SessionError extends Error {
  override readonly name = 'SessionError';
}
