import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SshProvider } from '../../engine/ops/op-context.ts';
import { Code } from '../../wire/grpc/code.ts';
import { hasCode } from '../../wire/grpc/status.ts';
import type { Session } from '../../wire/session/session.ts';
import { checkAgent, forwardAgent } from '../../wire/session/ssh.ts';

/**
 * The ssh agents that a client forwards, each behind a socket of ours that only this user can open. They are closed when the
 * provider is disposed.
 */
export function sessionSsh(own: (signal: AbortSignal) => Promise<Session | undefined>): SshProvider & AsyncDisposable {
  const sockets = new Map<string, Promise<string>>();
  const stack = new AsyncDisposableStack();
  const end = new AbortController();
  stack.defer(() => end.abort());

  async function listen(session: Session, id: string): Promise<string> {
    const directory = mkdtempSync(join(tmpdir(), 'outcrop-ssh-'));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, 'agent');
    const server: Server = createServer({ allowHalfOpen: true }, connection => {
      void forwardAgent(session.channel, id, connection, end.signal);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    stack.defer(() => void server.close());
    chmodSync(path, 0o600);
    return path;
  }

  return {
    async socket(id, signal) {
      const session = await own(signal);
      if (session === undefined) return undefined;
      try {
        await checkAgent(session.channel, id, signal);
      } catch (error) {
        if (hasCode(error, Code.unimplemented, Code.unknown, Code.notFound)) return undefined;
        throw error;
      }
      const known = sockets.get(id) ?? listen(session, id);
      sockets.set(id, known);
      return known;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
