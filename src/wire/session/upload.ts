import type { Channel } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { first } from '../grpc/metadata.ts';
import { methodWith } from '../grpc/method.ts';
import { type Route, streamRoute } from '../grpc/service.ts';
import { StatusError } from '../grpc/status.ts';
import { Upload } from '../proto/gen/session/upload_pb.ts';
import { bytesMessage } from './bytes-message.ts';

const method = methodWith(Upload.method.pull, bytesMessage);
/** The host of URLs that mean the client. */
const HOST = 'buildkit-session';
const LARGEST = 1024 * 1024;

/** Whether a URL is one that the client holds rather than the network. */
export function isUploadUrl(url: URL): boolean {
  return url.host === HOST;
}

/** The bytes behind a URL that the client holds; each can be had once. Rejects with StatusError. */
export function pullUpload(channel: Channel, url: URL, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const metadata = [
    ['urlpath', url.pathname],
    ['urlhost', url.host],
  ] as const;
  return channel.stream(method, [], { metadata, signal });
}

/** What a client holds for its daemon to pull. */
export interface Uploads {
  /** Gives bytes an URL, to be used as a build context. */
  add(bytes: AsyncIterable<Uint8Array>): URL;
  readonly routes: readonly Route[];
}

/** Nothing to pull yet. */
export function createUploads(): Uploads {
  const held = new Map<string, AsyncIterable<Uint8Array>>();
  let count = 0;
  return {
    add(bytes) {
      const url = new URL(`http://${HOST}/upload-${++count}`);
      held.set(url.pathname, bytes);
      return url;
    },
    routes: [
      streamRoute(method, async function* (_requests, { metadata }) {
        const path = first(metadata, 'urlpath') ?? '';
        const bytes = held.get(path);
        if (bytes === undefined || first(metadata, 'urlhost') !== HOST)
          throw new StatusError(Code.unknown, `no http response from session for ${path}`);
        held.delete(path);
        for await (const chunk of bytes)
          for (let at = 0; at < chunk.length; at += LARGEST) yield chunk.subarray(at, at + LARGEST);
      }),
    ],
  };
}
