import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Channel } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { first } from '../grpc/metadata.ts';
import { methodWith } from '../grpc/method.ts';
import { type Route, serviceRoutes, streamRoute } from '../grpc/service.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { StatusError } from '../grpc/status.ts';
import { SSH } from '../proto/gen/session/ssh_pb.ts';
import { bytesMessage } from './bytes-message.ts';
import { agentMessages, refusalOf } from './ssh-agent.ts';

const method = methodWith(SSH.method.forwardAgent, bytesMessage);
const ID = 'buildkit.ssh.id';
const DEFAULT_ID = 'default';
const DIAL_PATIENCE = 2000;

/** Asks whether the client forwards an agent. Rejects with StatusError if not. @param id empty for the default agent */
export async function checkAgent(channel: Channel, id: string, signal: AbortSignal): Promise<void> {
  await serviceClient(SSH, channel).checkAgent({ ID: id }, { signal });
}

/**
 * Joins a connection to the client's agent until either side ends it. Never rejects: whoever has the connection sees its end.
 */
export async function forwardAgent(
  channel: Channel,
  id: string,
  connection: Socket,
  signal: AbortSignal,
): Promise<void> {
  connection.on('error', () => {});
  const metadata = [[ID, id === '' ? DEFAULT_ID : id]] as const;
  const requests = connection.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  try {
    for await (const data of channel.stream(method, requests, { metadata, signal }))
      if (data.length > 0 && !connection.write(data)) await drained(connection);
    connection.end();
  } catch {
    connection.destroy();
  }
}

/** An agent, or another service on a Unix socket, that the client forwards. */
export interface ForwardedSocket {
  readonly path: string;
  /** Forwards whatever is sent. Else it is an agent, whose keys can be used but not changed. */
  readonly raw?: boolean;
}

/** The service that joins steps to the client's agents. @param lookup the socket of an id; undefined if it has none */
export function sshRoutes(lookup: (id: string, signal: AbortSignal) => Promise<ForwardedSocket | undefined>): Route[] {
  async function find(id: string, signal: AbortSignal): Promise<ForwardedSocket> {
    const socket = await lookup(id, signal);
    if (socket === undefined) throw new StatusError(Code.unknown, `unset ssh forward key ${id}`);
    return socket;
  }
  return [
    ...serviceRoutes(SSH, {
      checkAgent: async ({ ID: id }, { signal }) => {
        await find(id === '' ? DEFAULT_ID : id, signal);
        return {};
      },
    }),
    streamRoute(method, async function* (requests, { metadata, signal }) {
      const { path, raw = false } = await find(first(metadata, ID) || DEFAULT_ID, signal);
      const agent = await dial(path, signal);
      try {
        yield* raw ? forwardRaw(agent, requests) : forwardReadOnly(agent, requests);
      } finally {
        agent.destroy();
      }
    }),
  ];
}

async function dial(path: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect(path);
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_PATIENCE)]) });
  } catch (cause) {
    socket.destroy();
    throw new StatusError(Code.unknown, `failed to connect to ${path}: ${(cause as Error).message}`, { cause });
  }
  return socket;
}

/** What the agent answers while it is sent what the other end asks. */
async function* forwardRaw(agent: Socket, requests: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  void (async () => {
    for await (const data of requests) if (!agent.write(data)) await drained(agent);
    agent.end();
  })().catch(error => agent.destroy(error));
  for await (const data of agent as AsyncIterable<Buffer>) yield data;
}

/** One answer for each request, in order: the agent's, or a refusal. */
async function* forwardReadOnly(agent: Socket, requests: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const answers = agentMessages(agent);
  for await (const request of agentMessages(requests)) {
    const refusal = refusalOf(request);
    if (refusal !== undefined) {
      yield refusal;
      continue;
    }
    agent.write(request);
    const { value, done } = await answers.next();
    if (done) return;
    yield value;
  }
}

function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise(resolve => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}
