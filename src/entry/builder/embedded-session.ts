import { join } from 'node:path';
import { openColdMounts } from '../../engine/ops/exec/cold-mounts.ts';
import { type LocalContextsOptions, localOp, openLocalContexts } from '../../engine/source/local.ts';
import { directoryLayouts } from '../../engine/source/oci-layout.ts';
import { sourceProgress } from '../../engine/source/source-progress.ts';
import type { EventSink } from '../../engine/status/event.ts';
import type { FrontendHost } from '../../plan/frontend/host.ts';
import { type BuildScope, openBuildScope } from './build-scope.ts';
import { type EmbeddedHostOptions, embeddedHost, newID } from './embedded-host.ts';
import type { Engine } from './engine.ts';
import type { FrontendRequest } from './frontend-options.ts';
import type { BuildRequest } from './request.ts';
import { secretProvider } from './secrets.ts';
import { sshAgents } from './ssh-agents.ts';

/** What a session shows to others while it runs. */
interface SessionObserver extends Pick<EmbeddedHostOptions, 'onImage' | 'onFile'> {
  readonly emit: EventSink;
  readonly onLoad: Parameters<typeof openBuildScope>[1]['onLoad'];
  /** How directories of the client are looked at. */
  readonly contexts?: LocalContextsOptions;
}

/** A build of this process's own client: its directories, secrets and agents, and the host that its frontend asks. */
export interface EmbeddedSession extends AsyncDisposable, Pick<BuildScope, 'job' | 'context' | 'load' | 'build'> {
  readonly host: FrontendHost;
}

/** Opens what planning and solving of a request need. */
export function openEmbeddedSession(
  engine: Engine,
  request: BuildRequest,
  frontend: FrontendRequest,
  { emit, onLoad, onImage, onFile, contexts: look }: SessionObserver,
): EmbeddedSession {
  const { now } = engine;
  const stack = new AsyncDisposableStack();
  const mounting = request.coldMounts
    ? { ...engine, cacheMounts: stack.use(openColdMounts(join(engine.root, 'cold-mounts'))) }
    : engine;
  const contexts = stack.use(openLocalContexts(engine.checksumState, look));
  const session = newID();
  const scope = stack.use(
    openBuildScope(mounting, {
      emit,
      registry: engine.registry,
      ociLayouts: directoryLayouts(frontend.ociLayouts),
      secrets: secretProvider(request.secrets, process.env),
      ssh: stack.use(sshAgents(request.ssh, process.env)),
      entitlements: new Set(request.network === 'host' ? [...request.allow, 'network.host'] : request.allow),
      onLoad,
      local: source =>
        localOp(
          source,
          { contexts, directories: frontend.localDirs, session },
          sourceProgress(source.vertex.digest, emit, now),
        ),
    }),
  );
  const { job, context, sources, load, build } = scope;
  const host = embeddedHost({
    sessionID: session,
    platforms: [engine.platform],
    job,
    context,
    sources,
    emit,
    now,
    load,
    onImage,
    onFile,
  });
  return { host, job, context, load, build, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
