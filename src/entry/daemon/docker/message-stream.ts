import type { ServerResponse } from 'node:http';

/** The lines of JSON that tell a client of Docker's how a call goes on (docker-api facts, 1). */
export interface MessageStream {
  send(message: Readonly<Record<string, unknown>>): void;
  /** Ends the stream in an error, which the client shows. */
  fail(message: string, code?: number): void;
  end(): void;
}

/** Begins to answer with lines of JSON. */
export function messageStream(response: ServerResponse): MessageStream {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  const send = (message: object): void => void response.write(`${JSON.stringify(message)}\r\n`);
  return {
    send,
    fail(message, code) {
      send({ errorDetail: { ...(code === undefined ? {} : { code }), message }, error: message });
      response.end();
    },
    end: () => void response.end(),
  };
}
