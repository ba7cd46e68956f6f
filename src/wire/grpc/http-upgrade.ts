import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { fromRawHeaders, type Metadata, type MetadataInit, toHeaders } from './metadata.ts';

/** A connection that was not turned into one of HTTP/2. */
class UpgradeError extends Error {
  override readonly name = 'UpgradeError';
}

/**
 * Turns a connection on which a client asked for HTTP/2 (`Upgrade: h2c`) into one: what it sent already comes first.
 * @returns the connection, and the headers of the request with repeated names apart
 * @throws UpgradeError when it asked for something else
 */
export function acceptUpgrade(
  request: IncomingMessage,
  connection: Duplex,
  head: Buffer,
): { readonly connection: Duplex; readonly metadata: Metadata } {
  const protocol = request.headers.upgrade;
  if (!protocol) throw new UpgradeError('no upgrade proto in request');
  if (protocol !== 'h2c') throw new UpgradeError(`protocol ${protocol} not supported`);
  connection.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
  if (head.length > 0) connection.unshift(head);
  const names = request.rawHeaders.map((text, index) => (index % 2 === 0 ? text.toLowerCase() : text));
  return { connection, metadata: fromRawHeaders(names) };
}

/**
 * Asks the far end of a connection (Docker's `/session` and `/grpc`) to go on with HTTP/2 on it.
 * @throws UpgradeError when it refuses, with what it says
 */
export async function requestUpgrade(
  connection: Duplex,
  path: string,
  headers: MetadataInit,
  signal: AbortSignal,
): Promise<Duplex> {
  const request = httpRequest({
    method: 'POST',
    path,
    createConnection: () => connection,
    headers: { host: '', connection: 'Upgrade', upgrade: 'h2c', 'content-length': '0', ...toHeaders(headers) },
    signal,
  });
  request.end();
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.once('response', response => {
      refusalText(response).then(text => {
        connection.destroy();
        reject(new UpgradeError(`${path}: ${response.statusCode} ${text}`));
      }, reject);
    });
  });
}

async function refusalText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text.trim();
}
