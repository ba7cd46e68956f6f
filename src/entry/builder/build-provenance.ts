import { readImageAttributes } from '../../engine/exporter/attributes.ts';
import {
  metadataProvenance,
  type ProvenanceInput,
  provenancePredicate,
  provenanceType,
  requireCompleteMaterials,
  type StepLayers,
} from '../../engine/exporter/provenance.ts';
import { captureProvenance, pinOfKey } from '../../engine/exporter/provenance-capture.ts';
import type { ImageMaterial } from '../../engine/exporter/provenance-materials.ts';
import { DEFAULT_PROVENANCE, parseProvenanceOptions } from '../../engine/exporter/provenance-options.ts';
import type { Attestation, LayerBlob, PlatformResult } from '../../engine/exporter/result.ts';
import type { BuildEvent, Timestamp } from '../../engine/status/event.ts';
import type { DockerfilePlan, PlatformPlan } from '../../plan/frontend/plan-dockerfile.ts';
import type { LoadedGraph, LoadedVertex } from '../../plan/llb/load.ts';
import { parseGoBool } from '../../wire/go-bool.ts';
import { diffIdsOf, parseImageConfig } from '../../wire/oci/image-config.ts';
import { formatPlatform } from '../../wire/oci/platform.ts';
import { newID } from './embedded-host.ts';
import type { Engine } from './engine.ts';
import type { BuildRequest } from './request.ts';

/** The version of BuildKit's Dockerfile frontend that ours keeps to. */
export const DOCKERFILE_VERSION = '1.26.0-dev';

/** Collects while a build runs what its provenance will tell. */
export interface ProvenanceRecorder {
  /** Sees every event. */
  note(event: BuildEvent): void;
  /** An image that the frontend looked up. */
  resolved(image: ImageMaterial): void;
  /** The statement about one platform's image, if one was asked for. */
  attestation(
    plan: DockerfilePlan,
    platform: PlatformPlan,
    graph: LoadedGraph,
    result: Omit<PlatformResult, 'attestations'>,
  ): Attestation[];
  /** What goes into `--metadata-file`. */
  metadata(plan: DockerfilePlan, graphs: ReadonlyMap<PlatformPlan, LoadedGraph>): Record<string, string>;
}

/**
 * The attributes of the provenance that a request asks for: what it says, and for a push buildx's default. An image that
 * stays here gets none by default, since the times in it would give it another digest each time.
 */
export function provenanceAttributes(
  request: Pick<BuildRequest, 'attests' | 'outputs'>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const asked = request.attests.get('provenance');
  if (asked !== undefined) return asked;
  if (parseGoBool(environment['BUILDX_NO_DEFAULT_ATTESTATIONS'] ?? '')) return undefined;
  return request.outputs.some(({ attributes }) => attributes['push'] === 'true') ? DEFAULT_PROVENANCE : undefined;
}

/** @throws ProvenanceOptionError for attributes that mean nothing */
export function recordProvenance(
  engine: Engine,
  request: BuildRequest,
  options: ReadonlyMap<string, string>,
  graphs: readonly LoadedGraph[],
): ProvenanceRecorder {
  const attributes = provenanceAttributes(request);
  const asked = attributes === undefined ? undefined : parseProvenanceOptions(attributes);
  const startedAt = engine.now();
  const invocationId = newID();
  const pins = new Map<string, string>();
  const images: ImageMaterial[] = [];

  const inputOf = (
    plan: DockerfilePlan,
    platform: PlatformPlan,
    graph: LoadedGraph,
    finishedAt: Timestamp,
  ): ProvenanceInput => {
    const others = graphs.filter(
      one => one !== graph && !plan.platforms.some(({ definition }) => sameHead(one, definition.def.at(-1))),
    );
    return {
      call: { frontend: 'dockerfile.v0', options },
      root: { frontend: '', options },
      capture: captureProvenance({
        graphs: [...others, graph],
        resolved: images,
        pins,
        ...(plan.isMultiPlatform
          ? { platforms: { all: plan.platforms.map(one => one.platform), current: platform.platform } }
          : {}),
      }),
      definition: platform.definition,
      layers: [],
      builderPlatform: formatPlatform(engine.platform),
      dockerfileVersion: DOCKERFILE_VERSION,
      builderId: asked?.builderId ?? '',
      reproducible: asked?.reproducible ?? false,
      invocationId,
      startedAt,
      finishedAt,
    };
  };

  return {
    note(event) {
      if (event.kind !== 'key' || event.source !== 'definition' || event.input !== undefined || pins.has(event.vertex))
        return;
      const pin = pinOfKey(event.parts);
      if (pin !== undefined) pins.set(event.vertex, pin);
    },
    resolved: image => void images.push(image),
    attestation(plan, platform, graph, result) {
      if (!asked) return [];
      const finishedAt = engine.now();
      const predicate: Attestation['predicate'] = async signal => {
        const input = inputOf(plan, platform, graph, finishedAt);
        if (asked.completeMaterials) requireCompleteMaterials(input.capture);
        const layers = asked.mode === 'max' ? await stepLayers(engine, request.outputs, graph, result, signal) : [];
        return provenancePredicate({ ...input, layers }, asked);
      };
      return [
        {
          predicateType: provenanceType(asked.version),
          inlineOnly: asked.inlineOnly,
          filename: asked.filename,
          predicate,
        },
      ];
    },
    metadata(plan, platformGraphs) {
      const mode = process.env['BUILDX_METADATA_PROVENANCE'] || 'min';
      const response: Record<string, string> = { 'buildx.build.ref': `outcrop/outcrop/${invocationId}` };
      if (mode !== 'min' && mode !== 'max') return response;
      for (const platform of plan.platforms) {
        const graph = platformGraphs.get(platform);
        if (!graph) continue;
        const text = metadataProvenance(inputOf(plan, platform, graph, engine.now()), mode);
        const key = plan.isMultiPlatform ? `buildx.build.provenance/${platform.id}` : 'buildx.build.provenance';
        response[key] = Buffer.from(text).toString('base64');
      }
      return response;
    },
  };
}

function sameHead(graph: LoadedGraph, terminal: Uint8Array | undefined): boolean {
  return terminal !== undefined && Buffer.from(terminal).includes(graph.head.vertex.digest);
}

/** The layers of the steps that lead to the result, one by one; those of others are not known any more. */
export async function stepLayers(
  engine: Engine,
  outputs: readonly { readonly type: string; readonly attributes: Readonly<Record<string, string>> }[],
  graph: LoadedGraph,
  { ref, baseConfig }: Omit<PlatformResult, 'attestations'>,
  signal: AbortSignal,
): Promise<StepLayers[]> {
  if (ref.kind !== 'snapshot' || ref.layers.length === 0) return [];
  const image = outputs.find(({ type }) => type === 'image' || type === 'oci' || type === 'docker');
  const { compression } = readImageAttributes('image', image?.attributes ?? {});
  const options = { compression: { ...compression, force: false }, baseDiffIDs: [], preferNondistributable: false };
  const blobs = await engine.layerBlobs.blobs(ref, options, signal);
  const base = baseConfig === undefined ? 0 : diffIdsOf(parseImageConfig(Buffer.from(baseConfig))).length;
  const chain = stepsAbove(graph.head.vertex);
  const head = layersOf(graph.head.vertex, blobs);
  const source = chain[0]?.inputs[0]?.vertex;
  const isBase = base > 0 && source?.op.op.case === 'source' && !isLocal(source);
  if (blobs.length !== base + chain.length) return [head];
  const steps = chain.map((vertex, index) => layersOf(vertex, blobs.slice(0, base + index + 1)));
  return isBase && source ? [layersOf(source, blobs.slice(0, base)), ...steps] : steps;
}

/** The steps from the base up to a vertex, each of which made one layer on the one before. */
function stepsAbove(head: LoadedVertex): LoadedVertex[] {
  const chain: LoadedVertex[] = [];
  let vertex: LoadedVertex | undefined = head;
  while (vertex && (vertex.op.op.case === 'exec' || vertex.op.op.case === 'file')) {
    chain.unshift(vertex);
    const onScratch: boolean = vertex.op.op.case === 'file' && vertex.op.op.value.actions[0]?.input === -1n;
    vertex = onScratch ? undefined : vertex.inputs[0]?.vertex;
  }
  return chain;
}

function isLocal({ op: { op } }: LoadedVertex): boolean {
  return op.case === 'source' && op.value.identifier.startsWith('local://');
}

function layersOf({ digest }: LoadedVertex, blobs: readonly LayerBlob[]): StepLayers {
  return { vertex: digest, output: 0, chain: blobs.map(blob => blob.descriptor) };
}
