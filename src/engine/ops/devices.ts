/** Which devices of the machine a step asks for, and which of them it may have. */
import type { Device, DeviceTable } from '../../host/cdi/devices.ts';
import { CsvError, parseCsvRecord } from '../../plan/dockerfile/csv.ts';
import { goQuote } from '../../plan/dockerfile/go-text.ts';
import type { CDIDevice } from '../../wire/proto/gen/pb/ops_pb.ts';

/** A step asks for devices that are not there or that it may not have. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  /** What the user can do about it. */
  readonly hints: readonly string[];

  constructor(message: string, hints: readonly string[]) {
    super(message);
    this.hints = hints;
  }
}

/** An `--allow device=…` that cannot be read. */
export class DeviceGrantError extends Error {
  override readonly name = 'DeviceGrantError';
}

/** What a build may have: all devices, or some, and others' names for some. */
interface DeviceGrants {
  readonly isAll: boolean;
  readonly names: readonly string[];
  /** Devices by the names that steps know them under. */
  readonly aliases: ReadonlyMap<string, string>;
}

const CLASS = 'org.mobyproject.buildkit.device.class';

/** What a step asks for, by its names in the LLB. */
export type DeviceRequest = Pick<CDIDevice, 'name' | 'optional'>;

/**
 * The devices that requests mean, each once: `vendor/class=name`, `vendor/class` for the first of a kind, `vendor/class=*` for
 * all of it, or the class that devices are annotated with.
 * @throws DeviceError for a request that means none and is not optional
 */
export function findDevices({ devices, problems }: DeviceTable, requests: readonly DeviceRequest[]): readonly Device[] {
  const found = new Set<Device>();
  for (const { name, optional } of requests) {
    const meant = devicesNamed(name, devices);
    if (meant.length === 0 && !optional) {
      throw new DeviceError(
        `required device ${goQuote(name)} is not registered`,
        problems.map(problem => `a description of devices cannot be used: ${problem}`),
      );
    }
    for (const device of meant) found.add(device);
  }
  return [...found];
}

function devicesNamed(asked: string, devices: readonly Device[]): readonly Device[] {
  const equals = asked.indexOf('=');
  const kind = equals < 0 ? asked : asked.slice(0, equals);
  const name = equals < 0 ? '' : asked.slice(equals + 1);
  if (/^[^/]+\/./.test(kind)) {
    const ofKind = devices.filter(device => device.kind === kind);
    const meant =
      name === '*' ? ofKind : name === '' ? ofKind.slice(0, 1) : ofKind.filter(device => device.name === asked);
    if (meant.length > 0) return meant;
  }
  return devices.filter(({ annotations }) => annotations[CLASS] === asked);
}

/**
 * The devices that a step gets in place of those that it asks for: what is there, by its full name. A build that may have
 * everything asks again when the step runs.
 * @param entitlements of the build
 * @throws DeviceError for one that it cannot or may not have, DeviceGrantError
 */
export function grantDevices(
  requests: readonly DeviceRequest[],
  table: DeviceTable,
  entitlements: ReadonlySet<string>,
): readonly DeviceRequest[] {
  const { isAll, names, aliases } = readGrants(entitlements);
  if (isAll) return requests;
  const granted: DeviceRequest[] = [];
  const others: DeviceRequest[] = [];
  for (const request of requests) {
    const name = aliases.get(request.name);
    if (name === undefined) others.push(request);
    else granted.push({ name, optional: request.optional });
  }
  const wanted = findDevices(table, others);
  const allowed = new Set(
    findDevices(table, wanted.length === 0 ? [] : names.map(name => ({ name, optional: false }))),
  );
  const forbidden = wanted.filter(device => !allowed.has(device) && !device.isAutoAllowed).map(({ name }) => name);
  if (forbidden.length > 0) {
    const [subject, verb] = forbidden.length === 1 ? ['device', 'is'] : ['devices', 'are'];
    throw new DeviceError(
      `${subject} ${forbidden.join(', ')} ${verb} requested by the build but not allowed`,
      forbidden.map(name => `allow it with --allow device=${name}`),
    );
  }
  return [...granted, ...wanted.map(({ name }) => ({ name, optional: false }))];
}

/** @throws DeviceGrantError */
function readGrants(entitlements: ReadonlySet<string>): DeviceGrants {
  const names: string[] = [];
  const aliases = new Map<string, string>();
  let isAll = false;
  for (const entitlement of entitlements) {
    const grant = readDeviceGrant(entitlement);
    if (grant === undefined) continue;
    if (grant.name === '') isAll = true;
    else if (grant.alias === '') names.push(grant.name);
    else aliases.set(grant.alias, grant.name);
  }
  return { isAll, names, aliases };
}

/**
 * Reads `device`, `device=NAME` or `device=NAME,alias=OTHER`; undefined for an entitlement to something else. An empty name
 * means all devices.
 * @throws DeviceGrantError with BuildKit's text
 */
export function readDeviceGrant(entitlement: string): { readonly name: string; readonly alias: string } | undefined {
  const equals = entitlement.indexOf('=');
  if ((equals < 0 ? entitlement : entitlement.slice(0, equals)) !== 'device') return undefined;
  const text = equals < 0 ? '' : entitlement.slice(equals + 1);
  if (text === '') return { name: '', alias: '' };
  const [name = '', ...options] = fieldsOf(text);
  let alias = '';
  for (const option of options) {
    const split = option.indexOf('=');
    if (split < 0) throw new DeviceGrantError(`invalid device config ${goQuote(option)}`);
    const key = option.slice(0, split);
    if (key !== 'alias') throw new DeviceGrantError(`unknown device config key ${goQuote(key)}`);
    alias = option.slice(split + 1);
  }
  return { name, alias };
}

function fieldsOf(text: string): readonly string[] {
  try {
    return parseCsvRecord(text);
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new DeviceGrantError(cause.message, { cause });
  }
}
