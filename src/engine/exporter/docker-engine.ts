import { statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { pipeline } from 'node:stream/promises';

const DEFAULT_HOST = 'unix:///var/run/docker.sock';

/** An engine that refused an image, or did not answer. */
class DockerEngineError extends Error {
  override readonly name = 'DockerEngineError';
}

type Target = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** Hands an archive to the engine; see `ExportContext.loadIntoEngine`. */
export type EngineLoader = (archive: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<void>;

/**
 * A loader for the Docker engine that `DOCKER_HOST` names, or that of this machine; undefined where there is none. Only
 * Unix sockets and plain TCP are spoken to.
 */
export function dockerEngine(environment: Readonly<Record<string, string | undefined>>): EngineLoader | undefined {
  const target = targetOf(environment['DOCKER_HOST'] || DEFAULT_HOST);
  if (!target || ('socketPath' in target && !isSocket(target.socketPath))) return undefined;
  return (archive, signal) => load(target, archive, signal);
}

function targetOf(address: string): Target | undefined {
  const socket = /^unix:\/\/(\/.*)$/.exec(address)?.[1];
  if (socket !== undefined) return { socketPath: socket };
  const tcp = /^tcp:\/\/([^:/]+|\[[^\]]+\])(?::(\d+))?$/.exec(address);
  return tcp?.[1] === undefined ? undefined : { host: tcp[1].replace(/^\[|\]$/g, ''), port: Number(tcp[2] ?? 2375) };
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

/** `POST /images/load` (Docker Engine API): the body is the archive, the answer lines of JSON. */
async function load(target: Target, archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const where = 'socketPath' in target ? target.socketPath : `${target.host}:${target.port}`;
  const sent = request({
    ...target,
    method: 'POST',
    path: '/images/load?quiet=1',
    headers: { 'content-type': 'application/x-tar' },
    signal,
  });
  const answered = new Promise<IncomingMessage>((done, failed) => sent.once('response', done).once('error', failed));
  try {
    const [answer] = await Promise.all([answered, pipeline(archive, sent)]);
    let text = '';
    for await (const chunk of answer) text += chunk;
    const refusal = refusalOf(text);
    if (answer.statusCode !== 200 || refusal !== undefined) {
      throw new DockerEngineError(
        `the Docker engine at ${where} refused the image: ${refusal ?? `status ${answer.statusCode}`}`,
      );
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof DockerEngineError) throw cause;
    throw new DockerEngineError(
      `cannot load the image into the Docker engine at ${where}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function refusalOf(text: string): string | undefined {
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    try {
      const said: unknown = JSON.parse(line);
      if (typeof said !== 'object' || said === null) continue;
      if ('error' in said) return String(said.error);
      if ('message' in said) return String(said.message);
    } catch {
      return line;
    }
  }
  return undefined;
}
