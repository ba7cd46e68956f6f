import type { SecretProvider, SourceRequest, SshProvider } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import type { Op } from '../../engine/solver/op.ts';
import { openLocalContexts } from '../../engine/source/local.ts';
import type { OciLayouts } from '../../engine/source/oci-layout.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { Code } from '../../wire/grpc/code.ts';
import { serviceClient } from '../../wire/grpc/service-client.ts';
import { hasCode } from '../../wire/grpc/status.ts';
import { Auth } from '../../wire/proto/gen/session/auth_pb.ts';
import type { RegistryOptions } from '../../wire/registry/client.ts';
import { fetchSecret } from '../../wire/session/secrets.ts';
import { type Session, SessionError } from '../../wire/session/session.ts';
import { isUploadUrl, pullUpload } from '../../wire/session/upload.ts';
import type { DaemonServices } from './daemon-services.ts';
import type { RegistryFor } from './registry-pool.ts';
import { sessionLayouts } from './session-content.ts';
import { sessionLocalOp } from './session-local.ts';
import { sessionSsh } from './session-ssh.ts';

/** What a build gets from the machine of its client. */
export interface SessionSources extends AsyncDisposable {
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  readonly registryFor: RegistryFor;
  readonly ociLayouts: OciLayouts;
  readonly local: (request: SourceRequest) => Op<Ref>;
  /** The bytes behind a URL that means the client; undefined for others. */
  readonly upload: (url: URL, signal: AbortSignal) => AsyncIterable<Uint8Array> | undefined;
  /** Rejects with SessionError when the client has no session. */
  readonly own: (signal: AbortSignal) => Promise<Session>;
}

/**
 * Opens what a client gives to its build. Nothing is asked of it before it is needed.
 * @param session its id; empty for a client without one
 */
export function openSessionSources(services: DaemonServices, session: string, emit: EventSink): SessionSources {
  const { engine, sessions } = services;
  const stack = new AsyncDisposableStack();
  const received = stack.use(services.received.hold(session));
  const contexts = stack.use(openLocalContexts(engine.checksumState));
  const find = (id: string, signal: AbortSignal) => sessions.get(id, signal);
  const own = async (signal: AbortSignal): Promise<Session> => {
    if (session === '') throw new SessionError('no active sessions');
    return find(session, signal);
  };
  const perhaps = async (signal: AbortSignal) => (session === '' ? undefined : own(signal));
  return {
    secrets: {
      async get(id, signal) {
        const found = await perhaps(signal);
        return found && fetchSecret(found.channel, id, signal);
      },
    },
    ssh: stack.use(sessionSsh(perhaps)),
    registryFor: services.registries.use(session, stack, sessionCredentials(perhaps)),
    ociLayouts: sessionLayouts(own),
    local: request => sessionLocalOp(request, { session, find, received, contexts, emit, now: engine.now }),
    upload: (url, signal) => (isUploadUrl(url) ? sessionUpload(own, url, signal) : undefined),
    own,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function* sessionUpload(own: SessionSources['own'], url: URL, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* pullUpload((await own(signal)).channel, url, signal);
}

const AUTH_TIMEOUT = 60_000;

/** The credentials of the client for registries; none when it has no session, or does not give any. */
function sessionCredentials(
  own: (signal: AbortSignal) => Promise<Session | undefined>,
): NonNullable<RegistryOptions['credentials']> {
  return async (Host, signal) => {
    const session = await own(signal).catch(() => undefined);
    if (session === undefined) return undefined;
    try {
      const options = { signal, timeout: AUTH_TIMEOUT };
      const answer = await serviceClient(Auth, session.channel).credentials({ Host }, options);
      if (answer.Secret === '') return undefined;
      return answer.Username === ''
        ? { identityToken: answer.Secret }
        : { username: answer.Username, password: answer.Secret };
    } catch (error) {
      if (hasCode(error, Code.unimplemented, Code.unavailable, Code.notFound)) return undefined;
      throw error;
    }
  };
}
