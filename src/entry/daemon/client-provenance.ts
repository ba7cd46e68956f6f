import { type ProvenanceInput, provenanceAttestation, type StepLayers } from '../../engine/exporter/provenance.ts';
import { captureProvenance, pinOfKey } from '../../engine/exporter/provenance-capture.ts';
import { type ProvenanceOptions, parseProvenanceOptions } from '../../engine/exporter/provenance-options.ts';
import type { Attestation, PlatformResult } from '../../engine/exporter/result.ts';
import type { BuildEvent } from '../../engine/status/event.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { formatPlatform } from '../../wire/oci/platform.ts';
import { DOCKERFILE_VERSION, stepLayers } from '../builder/build-provenance.ts';
import type { ClientBuild } from './client-build.ts';
import type { ResultRef } from './frontend-result.ts';

/** What the sources of a build resolved to, learnt while it runs. */
export interface PinCollector {
  readonly pins: ReadonlyMap<string, string>;
  note(event: BuildEvent): void;
}

/** Nothing learnt yet. */
export function collectPins(): PinCollector {
  const pins = new Map<string, string>();
  return {
    pins,
    note(event) {
      if (event.kind !== 'key' || event.source !== 'definition' || event.input !== undefined || pins.has(event.vertex))
        return;
      const pin = pinOfKey(event.parts);
      if (pin !== undefined) pins.set(event.vertex, pin);
    },
  };
}

/**
 * The provenance that a client asks for; undefined when it asks for none.
 * @throws ProvenanceOptionError
 */
export function provenanceOptions(options: ReadonlyMap<string, string>): ProvenanceOptions | undefined {
  const asked = options.get('attest:provenance') ?? options.get('build-arg:BUILDKIT_ATTEST_PROVENANCE');
  return asked === undefined ? undefined : parseProvenanceOptions(asked);
}

/** The statement about one of a build's results. @param others the results for other platforms */
export function clientProvenance(
  build: ClientBuild,
  options: ProvenanceOptions,
  { pins }: PinCollector,
  ref: ResultRef,
  others: readonly Omit<PlatformResult, 'attestations'>[],
  result: Omit<PlatformResult, 'attestations'>,
  results: readonly ResultRef[],
): Attestation {
  const graphs = build.graphs.filter(graph => graph === ref.graph || !results.some(one => sameHead(one.graph, graph)));
  const capture = captureProvenance({
    graphs: [...graphs.filter(graph => graph !== ref.graph), ref.graph],
    resolved: build.images,
    pins,
    ...(others.length > 1
      ? { platforms: { all: others.map(({ platform }) => platform), current: result.platform } }
      : {}),
  });
  const finishedAt = build.now();
  // The builds that made what this one was given may end before anybody asks.
  const { frontendOptions, frontendInputs } = build.request;
  const root = { frontend: '', options: frontendOptions, inputs: build.callsOf(frontendInputs) };
  return provenanceAttestation(options, capture, async (signal): Promise<ProvenanceInputBase> => {
    const layers: StepLayers[] =
      options.mode === 'max' ? await stepLayers(build.engine, build.request.exporters, ref.graph, result, signal) : [];
    return {
      call: ref.call ?? { frontend: '', options: new Map() },
      ...(ref.call && build.request.frontend === '' ? { root } : {}),
      capture,
      definition: ref.definition,
      layers,
      builderPlatform: formatPlatform(build.platform),
      dockerfileVersion: DOCKERFILE_VERSION,
      invocationId: build.request.ref,
      startedAt: build.startedAt,
      finishedAt,
    };
  });
}

type ProvenanceInputBase = Omit<ProvenanceInput, 'builderId' | 'reproducible'>;

function sameHead(a: LoadedGraph, b: LoadedGraph): boolean {
  return a.head.vertex.digest === b.head.vertex.digest;
}
