import type { Duplex } from 'node:stream';

/** What an HTTP/2 connection begins with (RFC 9113, 3.4), as much of it as no HTTP/1.1 request begins with. */
const PREFACE = Buffer.from('PRI * HTTP/2.0');

/** Who takes connections of each protocol. */
export interface ProtocolHandlers {
  readonly http2: (connection: Duplex) => void;
  readonly http1: (connection: Duplex) => void;
}

/** Hands a connection on by what the client says first: BuildKit's clients speak HTTP/2, Docker's HTTP/1.1. */
export function chooseProtocol(connection: Duplex, { http2, http1 }: ProtocolHandlers): void {
  const ignore = (): void => {};
  connection.on('error', ignore);
  let seen: Buffer = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk: Buffer | null = connection.read();
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE.length);
    const isPreface = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (isPreface && length < PREFACE.length) return;
    connection.off('readable', onReadable);
    connection.off('error', ignore);
    connection.unshift(seen);
    (isPreface ? http2 : http1)(connection);
  };
  connection.on('readable', onReadable);
}
