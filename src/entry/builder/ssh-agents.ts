import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { SshProvider } from '../../engine/ops/op-context.ts';
import { BuildRequestError } from './frontend-options.ts';
import type { SshRequest } from './request.ts';

/**
 * Gives the sockets of the ssh agents that a build may use: those named, that of the environment for an id without paths,
 * or an agent of our own that holds the given private keys. Agents end when the provider is disposed.
 * @throws BuildRequestError when there is no agent, or a key cannot be added.
 */
export function sshAgents(
  requests: readonly SshRequest[],
  environment: Readonly<Record<string, string | undefined>>,
): SshProvider & AsyncDisposable {
  const byId = new Map(requests.map(request => [request.id, request]));
  const sockets = new Map<string, Promise<string>>();
  const stack = new AsyncDisposableStack();

  async function open({ id, paths }: SshRequest, signal: AbortSignal): Promise<string> {
    const [first] = paths;
    if (first === undefined) {
      const socket = environment['SSH_AUTH_SOCK'];
      if (!socket)
        throw new BuildRequestError(
          `--ssh ${id}: no agent: SSH_AUTH_SOCK is not set; start ssh-agent, or name a key with --ssh ${id}=PATH`,
        );
      return socket;
    }
    if (paths.length === 1 && statSync(first, { throwIfNoEntry: false })?.isSocket()) return first;
    return startAgent(id, paths, stack, signal);
  }

  return {
    async socket(id, signal) {
      const request = byId.get(id);
      if (!request) return undefined;
      const socket = sockets.get(id) ?? open(request, signal);
      sockets.set(id, socket);
      return socket;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function startAgent(
  id: string,
  keys: readonly string[],
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-ssh-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const socket = join(dir, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  let failure: Error | undefined;
  agent.once('error', error => (failure = error));
  stack.defer(() => void agent.kill());
  for (let waited = 0; !existsSync(socket) && !failure && waited < 5000; waited += 20)
    await delay(20, undefined, { signal });
  if (failure || !existsSync(socket)) {
    throw new BuildRequestError(
      `--ssh ${id}: ssh-agent cannot be started; install openssh-client, or forward an agent that runs`,
      { cause: failure },
    );
  }
  for (const key of keys) {
    const added = spawnSync('ssh-add', ['-q', key], {
      env: { ...process.env, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: 'never' },
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    if (added.status !== 0)
      throw new BuildRequestError(`--ssh ${id}: cannot use the key ${key}: ${added.stderr.trim()}`);
  }
  return socket;
}
