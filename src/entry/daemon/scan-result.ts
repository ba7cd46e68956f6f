import { create } from '@bufbuild/protobuf';
import { SPDX_PREDICATE } from '../../engine/exporter/bundle.ts';
import { CORE_SCAN, lookUpScanner, sbomOptions, scanDefinition } from '../../plan/frontend/sbom.ts';
import { definitionEdge } from '../../plan/llb/from-definition.ts';
import { stateOf } from '../../plan/llb/state.ts';
import { AttestationKind, AttestationSchema } from '../../wire/proto/gen/control/gateway_pb.ts';
import { embeddedHost } from '../builder/embedded-host.ts';
import { hasLlbCapability } from './capabilities.ts';
import type { ClientBuild } from './client-build.ts';
import {
  type FrontendResult,
  platformsOf,
  type ResultAttestation,
  type ResultRef,
  resultRefs,
} from './frontend-result.ts';
import { platformID } from './worker.ts';

/**
 * A result with the bill of materials that the client asks for, where its frontend made none: a scanner runs over each
 * platform's files when the statements are asked for. Rejects with what looking the scanner up does.
 */
export async function withScans(
  build: ClientBuild,
  result: FrontendResult,
  signal: AbortSignal,
): Promise<FrontendResult> {
  const { frontendOptions: raw, session: sessionID } = build.request;
  const given = [...result.attestations.values()].flat();
  if (sbomOptions(raw) === undefined) return result;
  if (given.some(({ message }) => message.inTotoPredicateType === SPDX_PREDICATE)) return result;
  const { scope, sources, emit, now, load, worker } = build;
  const host = embeddedHost({
    sessionID,
    platforms: worker.platforms,
    job: scope.job,
    context: scope.context,
    sources,
    emit,
    now,
    load,
    onImage: build.noteImage,
    onFile: () => undefined,
  });
  const mode = raw.get('image-resolve-mode');
  const resolveMode = mode === 'pull' || mode === 'local' ? mode : 'default';
  const scanner = await lookUpScanner(host, { raw, resolveMode }, signal);
  if (scanner === undefined) return result;
  const attestations = new Map(result.attestations);
  const named = [...platformsOf(result).keys()];
  for (const [key, ref] of resultRefs(result, named)) {
    if (ref === undefined) continue;
    const id = key || named[0] || platformID(build.platform);
    const definition = scanDefinition(
      scanner,
      { core: stateOf(definitionEdge(ref.definition)), extras: new Map() },
      { name: id, ignoreCache: raw.get('no-cache') === '' },
      { platform: build.platform, supports: hasLlbCapability },
    );
    const { ref: scan } = await build.definitionResult(definition, []);
    attestations.set(key, [...(attestations.get(key) ?? attestations.get(id) ?? []), scanAttestation(scan)]);
  }
  return { ...result, attestations };
}

/** The statements in the directory that a scanner wrote. */
export function scanAttestation(ref: ResultRef | undefined): ResultAttestation {
  const message = create(AttestationSchema, {
    kind: AttestationKind.Bundle,
    metadata: { reason: Buffer.from('sbom'), 'sbom-core': Buffer.from(CORE_SCAN) },
    inTotoPredicateType: SPDX_PREDICATE,
  });
  return { message, ref };
}
