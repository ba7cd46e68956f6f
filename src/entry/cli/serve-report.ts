/** `outcrop report --serve`: the builds of this machine, to look at in a browser of this machine. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf } from '../../engine/solver/errors.ts';
import { buildRows, buildsPage, type ListedBuild } from '../../insight/report/builds-page.ts';
import { UsageError } from './errors.ts';
import { openBuildHistory } from './open-history.ts';
import { buildPage } from './run-report.ts';

/** Only programs of this machine reach it. */
const HOST = '127.0.0.1';
/** So many builds are listed. */
const LISTED = 200;

/**
 * Serves pages until `signal` is aborted. @param port 0 for any that is free @param onReady takes the address
 * @throws UsageError when the port is taken
 */
export async function serveReports(
  root: string,
  port: number,
  onReady: (url: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const server = createServer((request, response) => answer(root, request, response));
  server.listen(port, HOST);
  try {
    await once(server, 'listening', { signal });
  } catch (cause) {
    server.close();
    if (signal.aborted) return;
    throw new UsageError(`--port ${port}: ${messageOf(cause)}; --port 0 takes any that is free`, { cause });
  }
  onReady(`http://${HOST}:${(server.address() as AddressInfo).port}/`);
  if (!signal.aborted) await once(signal, 'abort');
  server.close();
  server.closeAllConnections();
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

function answer(root: string, request: IncomingMessage, response: ServerResponse): void {
  let found: Answer;
  try {
    found = answerOf(root, request);
  } catch (error) {
    const status = error instanceof UsageError ? 404 : 500;
    found = { status, body: `${messageOf(error)}\n`, type: 'text/plain' };
  }
  response.writeHead(found.status, {
    'content-type': `${found.type ?? 'text/html'}; charset=utf-8`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  response.end(request.method === 'HEAD' ? undefined : found.body);
}

function answerOf(root: string, { method, headers, url = '/' }: IncomingMessage): Answer {
  // A page of elsewhere whose name was made to mean this machine asks under that name.
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(headers.host ?? '')) {
    return { status: 403, body: 'this is served to 127.0.0.1 and localhost only\n', type: 'text/plain' };
  }
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'GET only\n', type: 'text/plain' };
  const { pathname, searchParams } = new URL(url, `http://${HOST}`);
  const now = Date.now();
  if (pathname === '/') return { status: 200, body: buildsPage(listed(root), now) };
  if (pathname === '/rows') return { status: 200, body: buildRows(listed(root), now) };
  const name = /^\/build\/(\d+)$/.exec(pathname)?.[1];
  if (name === undefined) return { status: 404, body: 'no such page\n', type: 'text/plain' };
  using opened = openBuildHistory(root);
  if (opened === undefined) throw new UsageError('nothing was built on this machine yet');
  const against = searchParams.get('against') ?? undefined;
  return { status: 200, body: buildPage(opened, { name, against, root, now, home: '/' }) };
}

function listed(root: string): ListedBuild[] {
  using opened = openBuildHistory(root);
  const builds = opened?.history.list({ limit: LISTED }) ?? [];
  const last = new Map<string, number>();
  // Oldest first, so that each finds the one before it.
  return builds
    .toReversed()
    .map(build => {
      const project = `${build.context}\n${build.dockerfile}`;
      const before = last.get(project);
      if (build.counts !== undefined) last.set(project, build.number);
      return { build, before };
    })
    .toReversed();
}
