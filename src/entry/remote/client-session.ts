import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { EventSink } from '../../engine/status/event.ts';
import { dockerConfigDir, loadDockerConfig } from '../../host/config/docker-config.ts';
import type { Channel } from '../../wire/grpc/channel.ts';
import type { Route } from '../../wire/grpc/service.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { createAuthService } from '../../wire/session/auth/auth-server.ts';
import type { BlobStore } from '../../wire/session/content/blob-store.ts';
import { contentRoutes, storeById } from '../../wire/session/content/content-server.ts';
import { layoutStore } from '../../wire/session/content/layout-store.ts';
import { fileSendRoutes } from '../../wire/session/file-send.ts';
import { fileSyncRoutes, sharedDirectory } from '../../wire/session/file-sync.ts';
import { newIdentifier } from '../../wire/session/identifier.ts';
import { openSession } from '../../wire/session/open-session.ts';
import { secretsRoutes } from '../../wire/session/secrets.ts';
import { sshRoutes } from '../../wire/session/ssh.ts';
import { diskTree } from '../../wire/session/transfer/disk-tree.ts';
import type { FrontendRequest } from '../builder/frontend-options.ts';
import type { BuildRequest } from '../builder/request.ts';
import { secretProvider } from '../builder/secrets.ts';
import { sshAgents } from '../builder/ssh-agents.ts';
import type { RemoteCaches } from './remote-caches.ts';
import type { RemoteOutputs } from './remote-outputs.ts';

/** What the daemon may ask this process for while a build runs. */
interface SessionParts {
  readonly frontend: FrontendRequest;
  readonly outputs: Pick<RemoteOutputs, 'targets' | 'layouts'>;
  readonly caches: Pick<RemoteCaches, 'stores'>;
}

/** A session that is there as long as its build. */
export interface ClientSession extends AsyncDisposable {
  readonly id: string;
}

/** Serves the directories, secrets, agents, credentials and stores of a build to a daemon, and takes its results. */
export function openClientSession(
  channel: Channel,
  request: BuildRequest,
  { frontend, outputs, caches }: SessionParts,
  emit: EventSink,
): ClientSession {
  const { env } = process;
  const stack = new AsyncDisposableStack();
  const auth = stack.use(
    createAuthService({
      config: () => loadDockerConfig(env),
      configDirectory: dockerConfigDir(env),
      env,
      onUse: text => emit(momentEvent(`[auth] ${text}`)),
    }),
  );
  const directories = new Map([...frontend.localDirs].map(([name, path]) => [name, shared(path)]));
  const routes: Route[] = [...auth.routes];
  if (directories.size > 0) routes.push(...fileSyncRoutes(name => directories.get(name)));
  const secrets = secretProvider(request.secrets, env);
  if (request.secrets.length > 0) routes.push(...secretsRoutes((id, signal) => secrets.get(id, signal)));
  if (request.ssh.length > 0) {
    const agents = stack.use(sshAgents(request.ssh, env));
    routes.push(
      ...sshRoutes(async (id, signal) => {
        const path = await agents.socket(id, signal);
        return path === undefined ? undefined : { path };
      }),
    );
  }
  const stores = new Map<string, BlobStore>();
  for (const [id, path] of frontend.ociLayouts) {
    const { writing: _, ...readOnly } = layoutStore(path);
    stores.set(`oci:${id}`, readOnly);
  }
  for (const [id, path] of outputs.layouts) stores.set(id, layoutStore(path));
  for (const [id, store] of caches.stores) stores.set(id, store);
  if (stores.size > 0) routes.push(...contentRoutes(storeById(id => stores.get(id))));
  if (outputs.targets.size > 0) routes.push(...fileSendRoutes(outputs.targets));
  const session = stack.use(openSession(channel, { sharedKey: sharedKey(frontend.localDirs.get('context')), routes }));
  return { id: session.id, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Clients send their directories as root's. */
function shared(path: string) {
  const tree = diskTree(path, { owner: { uid: 0, gid: 0 } });
  return sharedDirectory(tree, tree);
}

/** By what the daemon finds what an earlier build has sent of the same directory; nothing of it is readable. */
function sharedKey(context: string | undefined): string {
  if (context === undefined) return '';
  let machine = hostname();
  try {
    machine += readFileSync('/etc/machine-id', 'utf8');
  } catch {
    // Not every system has one.
  }
  const place = createHash('sha256').update(`${machine}\0${context}`).digest('hex').slice(0, 16);
  return `${basename(context)}:${place}`;
}

/** Something that takes no time. */
function momentEvent(name: string): Parameters<EventSink>[0] {
  const now = BigInt(Date.now()) * 1_000_000n;
  const digest = digestOf(`${name} ${newIdentifier()}`);
  return { kind: 'vertex', digest, inputs: [], name, cached: false, started: now, completed: now };
}
