/**
 * SLSA provenance as BuildKit writes it (slsa.dev/spec, provenance v1 and v0.2). It is JSON text from the start, because
 * Go's order of members must come out.
 */

import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { Timestamp } from '../status/event.ts';
import { formatTimestamp } from '../status/timestamp.ts';
import { jsonList, jsonMap, jsonObject, jsonText, sortedJson } from './json-text.ts';
import { orderedDescriptor, PRIVATE_ANNOTATIONS } from './manifest.ts';
import type { ProvenanceCapture } from './provenance-capture.ts';
import { listMaterials, materialJson } from './provenance-materials.ts';
import type { ProvenanceOptions, ProvenanceVersion } from './provenance-options.ts';
import {
  type FrontendCall,
  requestJson,
  scrubRequest,
  sourceJson,
  type ToldRequest,
  tellRequest,
  vcsJson,
} from './provenance-request.ts';
import { type ProvenanceSteps, provenanceSteps, sourceMapJson } from './provenance-steps.ts';
import type { Attestation } from './result.ts';

/** Materials cannot all be told, and the build was asked to fail then. The message lists them. */
export class IncompleteMaterialsError extends Error {
  override readonly name = 'IncompleteMaterialsError';
}

/** The layers of one result of a step, bottom first. A result may have several such chains. */
export interface StepLayers {
  /** Digest of the step's vertex. */
  readonly vertex: string;
  readonly output: number;
  readonly chain: readonly Descriptor[];
}

/** What provenance tells of a build. */
export interface ProvenanceInput {
  /** The frontend that planned the build and its options. */
  readonly call: FrontendCall;
  /** What the client asked for, where the frontend was called on its behalf: buildx does so, with an empty frontend name. */
  readonly root?: FrontendCall;
  readonly capture: ProvenanceCapture;
  /** The graph of the result. */
  readonly definition: Definition;
  readonly layers: readonly StepLayers[];
  /** Platform of this machine, normalised: `linux/amd64`. */
  readonly builderPlatform: string;
  /** Version of the Dockerfile frontend, told for `dockerfile.v0`. */
  readonly dockerfileVersion?: string;
  readonly builderId: string;
  readonly reproducible: boolean;
  readonly invocationId: string;
  readonly startedAt: Timestamp;
  readonly finishedAt: Timestamp;
}

const BUILD_TYPES: Readonly<Record<ProvenanceVersion, string>> = {
  v1: 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
  'v0.2': 'https://mobyproject.org/buildkit@v1',
};

/** The predicate type of a statement with provenance. */
export function provenanceType(version: ProvenanceVersion): string {
  return `https://slsa.dev/provenance/${version}`;
}

/** The predicate as compact JSON text. */
export function provenancePredicate(
  input: ProvenanceInput,
  options: Pick<ProvenanceOptions, 'mode' | 'version'>,
): string {
  const parts = options.mode === 'min' ? minimalParts(input) : fullParts(input);
  return options.version === 'v1' ? predicateV1(input, parts) : predicateV02(input, parts);
}

/**
 * Provenance as exporters attach it.
 * @param gather gives what is known of the build once its layers have descriptors, without what options say
 * @throws IncompleteMaterialsError when all materials must be told and cannot
 */
export function provenanceAttestation(
  options: ProvenanceOptions,
  capture: ProvenanceCapture,
  gather: (signal: AbortSignal) => Promise<Omit<ProvenanceInput, 'builderId' | 'reproducible'>>,
): Attestation {
  if (options.completeMaterials) requireCompleteMaterials(capture);
  const { builderId, reproducible } = options;
  return {
    predicateType: provenanceType(options.version),
    inlineOnly: options.inlineOnly,
    filename: options.filename,
    predicate: async signal => provenancePredicate({ ...(await gather(signal)), builderId, reproducible }, options),
  };
}

/**
 * What a metadata file says of a build's provenance: version 0.2 whatever the attestation has, even if there is none.
 * @param mode `min` is without the steps and the record of the run, but tells the whole request
 */
export function metadataProvenance(input: ProvenanceInput, mode: 'min' | 'max' = 'min'): string {
  const parts = fullParts(input);
  return mode === 'max'
    ? predicateV02(input, parts)
    : predicateV02(input, { ...parts, buildConfig: undefined, metadata: undefined });
}

/**
 * Refuses a build whose materials cannot all be told.
 * @throws IncompleteMaterialsError
 */
export function requireCompleteMaterials(capture: ProvenanceCapture): void {
  if (isComplete(capture)) return;
  const lines = [
    'provenance materials are incomplete',
    '',
    'The build requested complete provenance materials, but not all dependencies could be captured.',
  ];
  if (capture.locals.length > 0) lines.push('', 'Uncaptured local sources:');
  for (const name of capture.locals) lines.push(`  - ${name || '<unnamed>'}`, '    reason: local_source');
  throw new IncompleteMaterialsError(lines.join('\n'));
}

/** What the two modes differ in. Members are JSON texts. */
interface Parts {
  readonly request: ToldRequest;
  readonly buildConfig: string | undefined;
  readonly metadata: Metadata | undefined;
}

interface Metadata {
  readonly requestComplete: boolean;
  readonly buildkit: string;
}

function minimalParts(input: ProvenanceInput): Parts {
  const { request, incomplete } = scrubRequest(tellRequest(input.call, input.root, input.capture));
  return {
    request,
    buildConfig: undefined,
    metadata: {
      requestComplete: input.call.frontend !== '' && !incomplete,
      buildkit: jsonObject({ vcs: vcsJson(input.call) }),
    },
  };
}

function fullParts(input: ProvenanceInput): Parts {
  const steps = provenanceSteps(input.definition);
  const { llbDefinition, digestMapping } = steps;
  return {
    request: tellRequest(input.call, input.root, input.capture),
    buildConfig: jsonObject({ llbDefinition, digestMapping }),
    metadata: {
      requestComplete: input.call.frontend !== '',
      buildkit: jsonObject({
        vcs: vcsJson(input.call),
        source: sourceMapJson(input.definition, steps),
        layers: layersJson(input.layers, steps),
      }),
    },
  };
}

function predicateV1(input: ProvenanceInput, { request, buildConfig, metadata }: Parts): string {
  const builder = goJson({ id: input.builderId });
  const complete = isComplete(input.capture);
  return jsonObject({
    buildDefinition: jsonObject({
      buildType: goJson(BUILD_TYPES.v1),
      resolvedDependencies: materialsJson(input),
      externalParameters: jsonObject({
        configSource: sourceJson(request.source, 'path'),
        request: requestJson(request),
      }),
      internalParameters: sortedJson(
        JSON.parse(
          jsonObject({
            buildConfig,
            builderPlatform: goJson(input.builderPlatform),
            dockerfileVersion: dockerfileVersionJson(input),
          }),
        ),
      ),
    }),
    runDetails: jsonObject({
      builder,
      metadata:
        metadata &&
        jsonObject({
          invocationId: jsonText(input.invocationId),
          startedOn: goJson(formatTimestamp(input.startedAt)),
          finishedOn: goJson(formatTimestamp(input.finishedAt)),
          buildkit_metadata: metadata.buildkit,
          buildkit_hermetic: isHermetic(input.capture) ? 'true' : undefined,
          buildkit_completeness: goJson({ request: metadata.requestComplete, resolvedDependencies: complete }),
          buildkit_reproducible: input.reproducible ? 'true' : undefined,
        }),
    }),
  });
}

function predicateV02(input: ProvenanceInput, { request, buildConfig, metadata }: Parts): string {
  return jsonObject({
    builder: goJson({ id: input.builderId }),
    buildType: goJson(BUILD_TYPES['v0.2']),
    materials: materialsJson(input),
    invocation: jsonObject({
      configSource: sourceJson(request.source, 'entryPoint'),
      parameters: requestJson(request),
      environment: jsonObject({
        dockerfileVersion: dockerfileVersionJson(input),
        platform: goJson(input.builderPlatform),
      }),
    }),
    buildConfig,
    metadata:
      metadata &&
      jsonObject({
        buildInvocationID: jsonText(input.invocationId),
        buildStartedOn: goJson(formatTimestamp(input.startedAt)),
        buildFinishedOn: goJson(formatTimestamp(input.finishedAt)),
        completeness: goJson({
          parameters: metadata.requestComplete,
          environment: true,
          materials: isComplete(input.capture),
        }),
        reproducible: String(input.reproducible),
        'https://mobyproject.org/buildkit@v1#metadata': metadata.buildkit,
        'https://mobyproject.org/buildkit@v1#hermetic': isHermetic(input.capture) ? 'true' : undefined,
      }),
  });
}

function materialsJson({ capture }: ProvenanceInput): string | undefined {
  return jsonList(listMaterials(capture).map(materialJson));
}

function dockerfileVersionJson({ call, dockerfileVersion = '' }: ProvenanceInput): string | undefined {
  return call.frontend === 'dockerfile.v0' ? jsonText(dockerfileVersion) : undefined;
}

/** Directories of the client have no digest. */
function isComplete(capture: ProvenanceCapture): boolean {
  return !capture.incomplete && capture.locals.length === 0;
}

function isHermetic(capture: ProvenanceCapture): boolean {
  return isComplete(capture) && !capture.networkAccess;
}

function layersJson(layers: readonly StepLayers[], { places }: ProvenanceSteps): string | undefined {
  const byStep = new Map<string, Set<string>>();
  const placeOf: ReadonlyMap<string, number> = places;
  for (const { vertex, output, chain } of layers) {
    const place = placeOf.get(vertex);
    if (place === undefined) continue;
    const key = `step${place}:${output}`;
    const chains = byStep.get(key) ?? new Set();
    byStep.set(key, chains.add(jsonList(chain.map(descriptorJson)) ?? '[]'));
  }
  return jsonMap([...byStep].map(([key, chains]) => [key, `[${[...chains].join(',')}]`]));
}

function descriptorJson({ annotations = {}, ...descriptor }: Descriptor): string {
  const shown = Object.entries(annotations).filter(([key]) => !PRIVATE_ANNOTATIONS.test(key));
  return goJson(orderedDescriptor({ ...descriptor, annotations: Object.fromEntries(shown) }));
}
