import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type {
  Attestation,
  AttestationSchema,
  RefSchema,
  Result,
  ResultSchema,
} from '../../../wire/proto/gen/control/gateway_pb.ts';
import type { FrontendResult, ResultAttestation, ResultRef } from '../frontend-result.ts';

/** A result as a frontend gets it. @param manyRefs whether the frontend knows the newer form of references */
export function resultMessage(result: FrontendResult, manyRefs: boolean): MessageInitShape<typeof ResultSchema> {
  return {
    result: refsMessage(result, manyRefs),
    metadata: Object.fromEntries([...result.metadata].map(([key, value]) => [key, Uint8Array.from(value)])),
    attestations: Object.fromEntries(
      [...result.attestations].map(([key, list]) => [key, { attestation: list.map(attestationMessage) }]),
    ),
  };
}

function attestationMessage({ message, ref }: ResultAttestation): MessageInitShape<typeof AttestationSchema> {
  const { $typeName: _type, $unknown: _rest, ...plain } = message;
  return { ...plain, ref: refMessage(ref) };
}

function refsMessage(
  { ref, refs }: FrontendResult,
  manyRefs: boolean,
): NonNullable<MessageInitShape<typeof ResultSchema>['result']> {
  if (refs !== undefined) {
    const ids = [...refs].map(([key, one]) => [key, one?.id ?? ''] as const);
    if (!manyRefs) return { case: 'refsDeprecated', value: { refs: Object.fromEntries(ids) } };
    const messages = [...refs].map(([key, one]) => [key, refMessage(one)] as const);
    return { case: 'refs', value: { refs: Object.fromEntries(messages) } };
  }
  return manyRefs ? { case: 'ref', value: refMessage(ref) } : { case: 'refDeprecated', value: ref?.id ?? '' };
}

function refMessage(ref: ResultRef | undefined): MessageInitShape<typeof RefSchema> {
  return ref === undefined ? { id: '' } : { id: ref.id, def: ref.definition };
}

/**
 * A result that a frontend returns.
 * @param find gives the files that an id names
 * @throws StatusError for an id that names none
 */
export function readResult(message: Result, find: (id: string) => ResultRef | undefined): FrontendResult {
  const lookUp = (id: string): ResultRef | undefined => {
    if (id === '') return undefined;
    const ref = find(id);
    if (ref === undefined) throw new StatusError(Code.unknown, `return reference ${id} not found`);
    return ref;
  };
  const all = (ids: Iterable<readonly [string, string]>) => new Map([...ids].map(([key, id]) => [key, lookUp(id)]));
  const { result } = message;
  let ref: ResultRef | undefined;
  let refs: ReadonlyMap<string, ResultRef | undefined> | undefined;
  if (result.case === 'ref') ref = lookUp(result.value.id);
  else if (result.case === 'refDeprecated') ref = lookUp(result.value);
  else if (result.case === 'refs') refs = all(Object.entries(result.value.refs).map(([key, { id }]) => [key, id]));
  else if (result.case === 'refsDeprecated') refs = all(Object.entries(result.value.refs));
  return {
    ref,
    refs,
    metadata: new Map(Object.entries(message.metadata)),
    attestations: new Map(
      Object.entries(message.attestations).map(([key, { attestation }]) => [
        key,
        attestation.map(one => readAttestation(one, lookUp)),
      ]),
    ),
  };
}

function readAttestation(message: Attestation, lookUp: (id: string) => ResultRef | undefined): ResultAttestation {
  return { message, ref: lookUp(message.ref?.id ?? '') };
}
