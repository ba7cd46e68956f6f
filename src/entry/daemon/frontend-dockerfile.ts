import { create } from '@bufbuild/protobuf';
import type { FrontendCall } from '../../engine/exporter/provenance-request.ts';
import { FrontendOptionError } from '../../plan/frontend/options.ts';
import { type DockerfilePlan, type PlatformPlan, planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import {
  answerRequest,
  type RequestAnswer,
  UnsupportedRequestError,
} from '../../plan/frontend/request/answer-request.ts';
import { DefinitionError } from '../../plan/llb/load.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { type Definition, type SourceInfo, SourceInfoSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { embeddedHost } from '../builder/embedded-host.ts';
import { planEvent } from '../builder/plan-event.ts';
import { warningEvent } from '../builder/warning-event.ts';
import { hasLlbCapability } from './capabilities.ts';
import type { ClientBuild, FrontendRequest } from './client-build.ts';
import { FrontendCapabilityError, FrontendError, SubrequestError } from './error-status.ts';
import type { FrontendResult, ResultAttestation, ResultRef } from './frontend-result.ts';
import { scanAttestation } from './scan-result.ts';

const NAME = 'dockerfile.v0';

/** Runs the built-in Dockerfile frontend. Rejects with FrontendError. */
export async function runDockerfileFrontend(
  build: ClientBuild,
  { options, inputs }: FrontendRequest,
  signal: AbortSignal,
): Promise<FrontendResult> {
  let dockerfile: SourceInfo | undefined;
  let last: Definition | undefined;
  const filename = options.get('filename') ?? 'Dockerfile';
  try {
    if (inputs.get('dockerfile')?.def.length === 0)
      throw new DefinitionError('invalid nil input definition to definition op');
    const { scope } = build;
    const host = embeddedHost({
      sessionID: build.request.session,
      platforms: build.worker.platforms,
      job: scope.job,
      context: scope.context,
      sources: build.sources,
      emit: build.emit,
      now: build.now,
      load(definition) {
        last = definition;
        return build.load(definition);
      },
      onImage: build.noteImage,
      onFile(path, data) {
        if (path !== filename || last === undefined) return;
        dockerfile = create(SourceInfoSchema, {
          filename,
          data: Uint8Array.from(data),
          definition: last,
          language: 'Dockerfile',
        });
      },
    });
    const ownHost = { ...host, supports: hasLlbCapability, inputs: async () => inputs };
    if (options.get('requestid')) return requestResult(build, await answerRequest(ownHost, options, signal));
    const plan = await planDockerfile(ownHost, options, signal, (warning, file) =>
      build.emit(warningEvent(warning, { dockerfile: file })),
    );
    build.emit(planEvent(plan));
    return await planResult(build, plan, { frontend: NAME, options, inputs: build.callsOf(inputs) });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new FrontendError(NAME, '', typed(error), dockerfile);
  }
}

/** What a request for something other than a build comes to: an empty tree with answers. */
function requestResult(build: ClientBuild, { metadata, dockerfile, warnings }: RequestAnswer): FrontendResult {
  if (dockerfile !== undefined) for (const warning of warnings) build.emit(warningEvent(warning, { dockerfile }));
  return {
    ref: undefined,
    refs: undefined,
    metadata: new Map([...metadata].map(([key, value]) => [key, Buffer.from(value)])),
    attestations: new Map(),
  };
}

async function planResult(build: ClientBuild, plan: DockerfilePlan, call: FrontendCall): Promise<FrontendResult> {
  const metadata = new Map<string, Uint8Array>();
  const refs = new Map<string, ResultRef | undefined>();
  const attestations = new Map<string, readonly ResultAttestation[]>();
  const set = (key: string, platform: PlatformPlan, value: string | undefined) => {
    if (value !== undefined) metadata.set(plan.isMultiPlatform ? `${key}/${platform.id}` : key, Buffer.from(value));
  };
  for (const platform of plan.platforms) {
    refs.set(platform.id, await build.makeRef(platform.definition, call));
    set('containerimage.config', platform, platform.imageConfig);
    set('containerimage.base.config', platform, platform.baseImageConfig);
    const { sourceDateEpoch: epoch, sbom } = platform;
    if (sbom !== undefined) attestations.set(platform.id, [scanAttestation(await build.makeRef(sbom, call))]);
    set('source.date.epoch', platform, epoch === undefined ? undefined : String(epoch));
  }
  const platforms = plan.platforms.map(({ id, platform }) => ({ ID: id, Platform: platform }));
  metadata.set('refs.platforms', Buffer.from(goJson({ Platforms: platforms })));
  const [only] = refs.values();
  return {
    ref: plan.isMultiPlatform ? undefined : only,
    refs: plan.isMultiPlatform ? refs : undefined,
    metadata,
    attestations,
  };
}

/** An error that clients tell by its type. */
function typed(error: unknown): unknown {
  const capability =
    error instanceof FrontendOptionError && /^unsupported frontend capability (\S+)$/.exec(error.message);
  if (error instanceof UnsupportedRequestError) return new SubrequestError(error.request);
  return capability ? new FrontendCapabilityError(capability[1] ?? '') : error;
}
