/** What steps may only do when the user has allowed it. */
import { goQuote } from '../../plan/dockerfile/go-text.ts';
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

/** A step needs a device that the machine does not offer to builds. */
class DeviceError extends Error {
  override readonly name = 'DeviceError';

  constructor(device: string) {
    super(`required device ${goQuote(device)} is not registered`);
  }
}

/** Throws {@link EntitlementError} if an exec op needs more than is allowed, `InvalidOpError` for a mode that is none. */
export function checkEntitlements(op: ExecOp, allowed: ReadonlySet<string>): void {
  if (op.security !== SecurityMode.SANDBOX && op.security !== SecurityMode.INSECURE)
    throw new InvalidOpError(`invalid security mode ${Number(op.security)}`);
  if (op.network === NetMode.HOST) check('network.host', allowed);
  if (op.security === SecurityMode.INSECURE) check('security.insecure', allowed);
  if (op.cdiDevices.some(({ optional }) => !optional)) check('device', allowed);
}

/** Throws {@link DeviceError} for a device that a step cannot do without: no devices are known here. */
export function refuseDevices({ cdiDevices }: ExecOp): void {
  const required = cdiDevices.find(({ optional }) => !optional);
  if (required) throw new DeviceError(required.name);
}

function check(entitlement: string, allowed: ReadonlySet<string>): void {
  if (!allowed.has(entitlement)) throw new EntitlementError(entitlement);
}
