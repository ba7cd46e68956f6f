import type { EventSink } from '../../engine/status/event.ts';
import type { Channel } from '../../wire/grpc/channel.ts';
import { Code } from '../../wire/grpc/code.ts';
import { serviceClient } from '../../wire/grpc/service-client.ts';
import { hasCode } from '../../wire/grpc/status.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { newIdentifier } from '../../wire/session/identifier.ts';
import { provenanceAttributes } from '../builder/build-provenance.ts';
import { BuildError } from '../builder/builder.ts';
import { BuildRequestError, frontendRequest } from '../builder/frontend-options.ts';
import type { BuildRequest, BuildResult } from '../builder/request.ts';
import { openClientSession } from './client-session.ts';
import { followStatus, type StatusFollower } from './follow-status.ts';
import { type RemoteCaches, remoteCaches } from './remote-caches.ts';
import { remoteError } from './remote-error.ts';
import { remoteMetadata } from './remote-metadata.ts';
import { remoteOutputs } from './remote-outputs.ts';

/** The connections to a daemon. */
export interface RemoteConnection {
  readonly address: string;
  readonly channel: Channel;
  /** For calls whose failure may tell more than an HTTP/2 connection survives: errors bring the Dockerfile with them. */
  readonly solving: Channel;
  /** Whether the daemon is this engine's own; false of one that does not say. Asked once. */
  isOutcrop(signal: AbortSignal): Promise<boolean>;
}

/** Runs one build on a daemon to its end. See `Builder.build` for what it throws. */
export async function runRemoteBuild(
  connection: RemoteConnection,
  request: BuildRequest,
  emit: EventSink,
  signal: AbortSignal,
): Promise<BuildResult> {
  signal.throwIfAborted();
  const { channel, solving } = connection;
  await using stack = new AsyncDisposableStack();
  const frontend = stack.use(await frontendRequest(request));
  const caches = await remoteCaches(request, connection, emit, signal);
  const outputs = remoteOutputs(request.outputs, signal);
  const session = stack.use(openClientSession(channel, request, { frontend, outputs, caches }, emit));
  const ref = newIdentifier();
  const progress = followStatus(channel, ref, emit);
  const [firstExporter] = outputs.exporters;
  let response: Readonly<Record<string, string>>;
  try {
    const solved = await serviceClient(Control, solving).solve(
      {
        Ref: ref,
        Session: session.id,
        Frontend: 'dockerfile.v0',
        FrontendAttrs: frontendAttributes(request, frontend.options, caches),
        // Daemons of before several exporters know the first from here.
        ...(firstExporter === undefined
          ? {}
          : { ExporterDeprecated: firstExporter.Type, ExporterAttrsDeprecated: firstExporter.Attrs }),
        Exporters: [...outputs.exporters],
        Cache: { Imports: [...caches.imports], Exports: [...caches.exports] },
        Entitlements: entitlementsOf(request),
      },
      { signal },
    );
    response = solved.ExporterResponse;
  } catch (error) {
    await progress.finish();
    signal.throwIfAborted();
    if (error instanceof BuildRequestError) throw error;
    throw solveError(error, progress);
  }
  await progress.finish();
  await outputs.finish(response, signal);
  await caches.finish(response, signal);
  if (!request.metadata) return { response };
  return { response: { ...response, ...(await remoteMetadata(connection, ref, signal)) } };
}

/** What is allowed, and what the network asks for by itself. */
function entitlementsOf({ network, allow }: BuildRequest): string[] {
  return network === 'host' && !allow.includes('network.host') ? [...allow, 'network.host'] : [...allow];
}

function frontendAttributes(
  request: BuildRequest,
  options: ReadonlyMap<string, string>,
  { imports }: Pick<RemoteCaches, 'imports'>,
): Record<string, string> {
  const attributes = Object.fromEntries(options);
  if (imports.length > 0) attributes['cache-imports'] = JSON.stringify(imports);
  for (const type of ['provenance', 'sbom']) {
    const asked = type === 'provenance' ? provenanceAttributes(request) : request.attests.get(type);
    if (asked !== undefined && !asked.split(',').includes('disabled=true')) attributes[`attest:${type}`] = asked;
  }
  return attributes;
}

/** The failure of a build; where the answer was lost, what its steps told of it. */
function solveError(error: unknown, { lastError }: StatusFollower): BuildError {
  const text = hasCode(error, Code.unavailable, Code.internal) ? lastError() : undefined;
  return text === undefined ? remoteError(error) : new BuildError(text, { cause: error });
}
