import type { CacheExports } from '../../engine/cache/remote/export.ts';
import type { ProvenanceOptions } from '../../engine/exporter/provenance-options.ts';
import type { Attestation, BuildOutput, PlatformResult } from '../../engine/exporter/result.ts';
import { type Ref, scratch } from '../../engine/ops/ref.ts';
import { materialize } from '../../engine/ops/ref-contents.ts';
import type { CacheKey } from '../../engine/solver/key.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { parsePlatform } from '../../wire/oci/platform.ts';
import type { ClientBuild } from './client-build.ts';
import { clientProvenance, type PinCollector, provenanceOptions } from './client-provenance.ts';
import { frontendAttestations } from './frontend-attestations.ts';
import { type FrontendResult, platformsOf, type ResultRef, resultRefs } from './frontend-result.ts';
import { platformID } from './worker.ts';

/** What exporters take, and the keys that caches are exported from. */
export interface ClientOutput extends BuildOutput {
  readonly keys: readonly CacheKey<Ref>[];
  /** All that is known of how a platform's result was made, asked for or not. */
  readonly provenance: (index: number) => Attestation | undefined;
}

/** What the history keeps of every build. */
const RECORDED_PROVENANCE: ProvenanceOptions = {
  mode: 'max',
  version: 'v1',
  builderId: '',
  reproducible: false,
  inlineOnly: false,
  filename: 'provenance.json',
  completeMaterials: false,
};

/** How a result is made ready for exporters. */
export interface OutputOptions {
  readonly pins: PinCollector;
  readonly caches: CacheExports;
  /** Whether any exporter needs layers rather than files. */
  readonly needsLayers: boolean;
}

/** Makes all files of a result, and gathers what exporters need of it. Rejects with GraphError. */
export async function buildOutput(
  build: ClientBuild,
  result: FrontendResult,
  { pins, caches, needsLayers }: OutputOptions,
  signal: AbortSignal,
): Promise<ClientOutput> {
  const asked = provenanceOptions(build.request.frontendOptions);
  const named = platformsOf(result);
  const refs = resultRefs(result, [...named.keys()]);
  const keys: CacheKey<Ref>[] = [];
  const solve = async (
    key: string,
    resultRef: ResultRef | undefined,
  ): Promise<Omit<PlatformResult, 'attestations'>> => {
    const solved = await resultRef?.solve(signal);
    keys.push(...(solved?.keys ?? []));
    let ref: Ref = solved?.result ?? scratch;
    if (needsLayers && ref.kind === 'local') ref = await materialize(ref, build.engine.layers, signal);
    const config = textOf(result, 'containerimage.config', key);
    if (needsLayers && config?.trim() === 'null')
      throw new StatusError(Code.unknown, 'invalid null image config for export');
    const baseConfig = textOf(result, 'containerimage.base.config', key);
    // What the frontend says of the platform goes before what the config does, which may be the blank one of a local directory.
    const said = named.get(key) ?? (key === '' ? named.values().next().value : undefined);
    const platform = said ?? platformOfKey(key, config) ?? build.platform;
    const layers = ref;
    return {
      id: key === '' ? (named.keys().next().value ?? platformID(platform)) : key,
      platform,
      ref,
      ...(config === undefined ? {} : { config }),
      ...(baseConfig === undefined ? {} : { baseConfig }),
      ...(caches.isInline && solved && layers.kind === 'snapshot'
        ? { inlineCache: (blobs, inner) => caches.inlineCache(solved.keys, layers, blobs, inner) }
        : {}),
    };
  };
  const solved = await Promise.all(refs.map(([key, ref]) => solve(key, ref)));
  const all = refs.flatMap(([, ref]) => (ref === undefined ? [] : [ref]));
  const provenance = (options: ProvenanceOptions, index: number): Attestation | undefined => {
    const ref = refs[index]?.[1];
    const one = solved[index];
    if (ref === undefined || one === undefined) return undefined;
    return clientProvenance(build, options, pins, ref, solved, one, all);
  };
  const withStatements = async (one: Omit<PlatformResult, 'attestations'>, index: number): Promise<PlatformResult> => {
    const [key] = refs[index] ?? [''];
    const asserted = asked && provenance(asked, index);
    const given = result.attestations.get(key) ?? result.attestations.get(one.id) ?? [];
    return {
      ...one,
      attestations: [
        ...(await Promise.all(given.map(one => frontendAttestations(build, one, signal)))).flat(),
        ...(asserted ? [asserted] : []),
      ],
    };
  };
  const platforms = await Promise.all(solved.map(withStatements));
  const epoch = textOf(result, 'source.date.epoch', refs[0]?.[0] ?? '');
  const imageName = textOf(result, 'image.name', '');
  return {
    platforms,
    multiPlatform: result.refs !== undefined,
    ...(epoch === undefined || epoch === '' ? {} : { epoch: Number(epoch) }),
    ...(imageName === undefined ? {} : { imageName }),
    annotations: annotationsOf(result),
    keys,
    provenance: index => provenance(RECORDED_PROVENANCE, index),
  };
}

function textOf({ metadata }: FrontendResult, name: string, key: string): string | undefined {
  const bytes = metadata.get(key === '' ? name : `${name}/${key}`) ?? metadata.get(name);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

function platformOfKey(key: string, config: string | undefined): Platform | undefined {
  if (key !== '') return parsePlatform(key);
  if (config === undefined) return undefined;
  let platform: Partial<Platform>;
  try {
    platform = JSON.parse(config) ?? {};
  } catch {
    return undefined;
  }
  const { os, architecture, variant } = platform;
  if (!os !== !architecture)
    throw new StatusError(Code.unknown, 'invalid image config: os and architecture must be specified together');
  if (!os || !architecture) return undefined;
  return { os, architecture, ...(variant ? { variant } : {}) };
}

function annotationsOf({ metadata }: FrontendResult): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (const [key, value] of metadata)
    if (/^annotation[-[.]/.test(key)) annotations[key] = new TextDecoder().decode(value);
  return annotations;
}
