import type { EventSink } from '../../engine/status/event.ts';
import { answerRequest } from '../../plan/frontend/request/answer-request.ts';
import { watchErrors } from './build-error.ts';
import { openEmbeddedSession } from './embedded-session.ts';
import type { Engine } from './engine.ts';
import { frontendRequest } from './frontend-options.ts';
import type { BuildRequest } from './request.ts';
import { newerFrontendEvent, warningEvent } from './warning-event.ts';

/**
 * Asks the frontend about a Dockerfile on an engine. See `Builder.call` for what it returns and throws.
 */
export async function runEmbeddedCall(
  engine: Engine,
  request: BuildRequest,
  requestID: string,
  emit: EventSink,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  signal.throwIfAborted();
  const errors = watchErrors();
  try {
    await using stack = new AsyncDisposableStack();
    const frontend = stack.use(await frontendRequest(request));
    const { host } = stack.use(
      openEmbeddedSession(engine, request, frontend, {
        emit,
        ...errors.observe(frontend),
        onImage: () => undefined,
      }),
    );
    const options = new Map([...frontend.options, ['requestid', requestID]]);
    const { metadata, dockerfile, warnings } = await answerRequest(host, options, signal);
    if (dockerfile) {
      const newer = newerFrontendEvent({ dockerfile });
      if (newer) emit(newer);
      for (const warning of warnings) emit(warningEvent(warning, { dockerfile }));
    }
    return metadata;
  } catch (error) {
    throw errors.errorOf(error, signal);
  }
}
