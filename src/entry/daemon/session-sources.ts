import type { SecretProvider, SourceRequest, SshProvider } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import type { Op } from '../../engine/solver/op.ts';
import { openLocalContexts } from '../../engine/source/local.ts';
import type { OciLayouts } from '../../engine/source/oci-layout.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { Code } from '../../wire/grpc/code.ts';
import { hasCode } from '../../wire/grpc/status.ts';
import type { RegistryAccess } from '../../wire/registry/client.ts';
import { type SessionTokens, sessionCredentials } from '../../wire/session/auth/session-auth.ts';
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
    registryFor: services.registries.use(session, stack, sessionAccess(services.tokens, perhaps)),
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

/** The client's proof of itself to registries; none when it has no session, or does not give any. */
function sessionAccess(
  tokens: SessionTokens,
  own: (signal: AbortSignal) => Promise<Session | undefined>,
): RegistryAccess {
  const perhaps = (signal: AbortSignal) => own(signal).catch(() => undefined);
  return {
    async tokens(request, signal) {
      const session = await perhaps(signal);
      return session && tokens.get(session.channel, request, signal);
    },
    async credentials(host, signal) {
      const session = await perhaps(signal);
      try {
        return session && (await sessionCredentials(session.channel, host, signal));
      } catch (error) {
        if (hasCode(error, Code.unavailable, Code.notFound)) return undefined;
        throw error;
      }
    },
  };
}
