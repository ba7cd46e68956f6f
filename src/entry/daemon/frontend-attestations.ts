/** What frontends assert of their results. */
import { bundledStatements, isCore, readPredicate } from '../../engine/exporter/bundle.ts';
import type { Attestation, AttestationSubject } from '../../engine/exporter/result.ts';
import { AttestationKind, type InTotoSubject, InTotoSubjectKind } from '../../wire/proto/gen/control/gateway_pb.ts';
import type { ClientBuild } from './client-build.ts';
import type { ResultAttestation } from './frontend-result.ts';

/**
 * The statements of a frontend: one that it describes, with a file of a result as its predicate, or all those that a
 * directory of a result holds.
 * @throws AttestationError for files that are none, or no statements
 */
export async function frontendAttestations(
  build: ClientBuild,
  { message, ref }: ResultAttestation,
  signal: AbortSignal,
): Promise<Attestation[]> {
  if (ref === undefined) return [];
  const text = (key: string) => new TextDecoder().decode(message.metadata[key] ?? new Uint8Array());
  const inlineOnly = text('inline-only') === 'true';
  const core = text('sbom-core') || undefined;
  if (message.kind === AttestationKind.InToto) {
    const filename = message.path.split('/').at(-1) ?? 'attestation.json';
    return [
      {
        predicateType: message.inTotoPredicateType,
        inlineOnly,
        filename,
        isCore: isCore(filename, core),
        subjects: message.inTotoSubjects.map(subjectOf),
        predicate: async inner => (await readPredicate(await build.files(ref, inner), message.path, inner)) || 'null',
      },
    ];
  }
  return bundledStatements(
    await build.files(ref, signal),
    { path: message.path, predicateType: message.inTotoPredicateType, inlineOnly, core },
    signal,
  );
}

function subjectOf({ kind, name, digest }: InTotoSubject): AttestationSubject {
  if (kind === InTotoSubjectKind.Self) return { kind: 'self', name };
  const pairs = digest.map((one): [string, string] => {
    const [algorithm = '', hex = ''] = one.split(':');
    return [algorithm, hex];
  });
  return { kind: 'raw', name: name || '_', digest: Object.fromEntries(pairs) };
}
