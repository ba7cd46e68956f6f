/** What steps may only do when the user has allowed it. */
import { type ExecOp, NetMode, SecurityMode } from '../../wire/proto/gen/pb/ops_pb.ts';
import { InvalidOpError } from './op-key.ts';

/** A step asks for something that was not allowed. */
export class EntitlementError extends Error {
  override readonly name = 'EntitlementError';
  readonly entitlement: string;

  constructor(entitlement: string) {
    super(`${entitlement} is not allowed`);
    this.entitlement = entitlement;
  }
}

/**
 * Throws {@link EntitlementError} if an exec op needs more than is allowed, but for devices; `InvalidOpError` for a mode that is none.
 */
export function checkEntitlements(op: ExecOp, allowed: ReadonlySet<string>): void {
  if (op.security !== SecurityMode.SANDBOX && op.security !== SecurityMode.INSECURE)
    throw new InvalidOpError(`invalid security mode ${Number(op.security)}`);
  if (op.network === NetMode.HOST) check('network.host', allowed);
  if (op.security === SecurityMode.INSECURE) check('security.insecure', allowed);
}

function check(entitlement: string, allowed: ReadonlySet<string>): void {
  if (!allowed.has(entitlement)) throw new EntitlementError(entitlement);
}
