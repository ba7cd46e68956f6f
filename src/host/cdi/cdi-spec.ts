import type { ContainerEdits, DeviceHook, DeviceMount, DeviceNode } from './container-edits.ts';
import { readStrictly, type StrictTable } from './strict-reader.ts';

/** A file that describes devices (Container Device Interface 1.1.0). */
export interface CdiSpec {
  /** `vendor/class`. */
  readonly kind: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** For each container that gets any of the devices. */
  readonly edits: ContainerEdits;
  readonly devices: readonly CdiDevice[];
}

interface CdiDevice {
  /** Without the kind. */
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
}

/** A description of devices that does not hold. */
class CdiSpecError extends Error {
  override readonly name = 'CdiSpecError';
}

const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0'];
const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'];
const NODE_TYPES = ['', 'b', 'c', 'u', 'p'];

/**
 * Reads a description: JSON, or YAML 1.1 as Go reads it.
 * @throws CdiSpecError
 */
export async function parseCdiSpec(text: string): Promise<CdiSpec> {
  const { parseYaml } = await import('./parse-yaml.ts');
  try {
    const { version, ...spec } = readStrictly(parseYaml(text), '', readSpec);
    checkSpec(version, spec);
    return spec;
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new CdiSpecError(cause.message.split('\n')[0] ?? '', { cause });
  }
}

function readSpec(table: StrictTable): CdiSpec & { readonly version: string } {
  return {
    version: table.text('cdiVersion') ?? '',
    kind: table.text('kind') ?? '',
    annotations: table.labels('annotations') ?? {},
    edits: table.table('containerEdits', readEdits) ?? NO_EDITS,
    devices: table.tables('devices', inner => ({
      name: inner.text('name') ?? '',
      annotations: inner.labels('annotations') ?? {},
      edits: inner.table('containerEdits', readEdits) ?? NO_EDITS,
    })),
  };
}

function checkSpec(version: string, spec: CdiSpec): void {
  const { kind, edits, devices } = spec;
  checkVersion(version, spec);
  checkKind(kind);
  checkEdits(edits);
  if (devices.length === 0) throw new CdiSpecError('invalid spec, no devices');
  const names = new Set<string>();
  for (const { name, edits: own } of devices) {
    if (!/^[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?$/.test(name)) throw new CdiSpecError(`invalid device name "${name}"`);
    if (names.has(name)) throw new CdiSpecError(`invalid spec, multiple device "${name}"`);
    names.add(name);
    if (Object.values(own).every(list => Array.isArray(list) && list.length === 0))
      throw new CdiSpecError(`failed add device "${name}": invalid device, empty device edits`);
    checkEdits(own);
  }
}

const NO_EDITS: ContainerEdits = {
  env: [],
  deviceNodes: [],
  netDevices: [],
  hooks: [],
  mounts: [],
  additionalGids: [],
};

function readEdits(table: StrictTable): ContainerEdits {
  return {
    env: table.texts('env') ?? [],
    deviceNodes: table.tables('deviceNodes', readNode),
    netDevices: table.tables('netDevices', inner => ({
      hostInterfaceName: inner.text('hostInterfaceName') ?? '',
      name: inner.text('name') ?? '',
    })),
    hooks: table.tables('hooks', readHook),
    mounts: table.tables('mounts', readMount),
    ...given(
      'intelRdt',
      table.table('intelRdt', inner => ({
        ...given('closID', inner.text('closID')),
        ...given('l3CacheSchema', inner.text('l3CacheSchema')),
        ...given('memBwSchema', inner.text('memBwSchema')),
        ...given('schemata', inner.texts('schemata')),
        ...given('enableMonitoring', inner.flag('enableMonitoring')),
      })),
    ),
    additionalGids: table.numbers('additionalGids') ?? [],
  };
}

function readNode(table: StrictTable): DeviceNode {
  return {
    path: table.text('path') ?? '',
    ...given('hostPath', table.text('hostPath')),
    ...given('type', table.text('type')),
    ...given('major', table.number('major')),
    ...given('minor', table.number('minor')),
    ...given('fileMode', table.number('fileMode')),
    ...given('permissions', table.text('permissions')),
    ...given('uid', table.number('uid')),
    ...given('gid', table.number('gid')),
  };
}

function readHook(table: StrictTable): DeviceHook {
  return {
    hookName: table.text('hookName') ?? '',
    path: table.text('path') ?? '',
    ...given('args', table.texts('args')),
    ...given('env', table.texts('env')),
    ...given('timeout', table.number('timeout')),
  };
}

function readMount(table: StrictTable): DeviceMount {
  return {
    hostPath: table.text('hostPath') ?? '',
    containerPath: table.text('containerPath') ?? '',
    ...given('options', table.texts('options')),
    ...given('type', table.text('type')),
  };
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function checkKind(kind: string): void {
  const slash = kind.indexOf('/');
  const names = slash <= 0 ? [] : [kind.slice(0, slash), kind.slice(slash + 1)];
  if (names.length === 0 || !names.every(name => /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?$/.test(name)))
    throw new CdiSpecError(`invalid kind "${kind}": want vendor/class`);
}

function checkVersion(version: string, spec: CdiSpec): void {
  const known = VERSIONS.indexOf(version.replace(/^v/, ''));
  if (known < 0) throw new CdiSpecError(`invalid version "${version}"`);
  const least = leastVersion(spec);
  if (VERSIONS.indexOf(least) > known) throw new CdiSpecError(`the spec version must be at least v${least}`);
}

/** The first version of the specification that has all that a description uses. */
function leastVersion({ kind, annotations, edits, devices }: CdiSpec): string {
  const all = [edits, ...devices.map(device => device.edits)];
  const some = (test: (edit: ContainerEdits) => boolean): boolean => all.some(test);
  if (
    some(
      ({ netDevices, intelRdt }) => netDevices.length > 0 || Boolean(intelRdt?.schemata ?? intelRdt?.enableMonitoring),
    )
  )
    return '1.1.0';
  if (some(({ intelRdt, additionalGids }) => intelRdt !== undefined || additionalGids.length > 0)) return '0.7.0';
  const hasLabels = [annotations, ...devices.map(device => device.annotations)].some(
    labels => Object.keys(labels).length > 0,
  );
  if (hasLabels || kind.slice(kind.indexOf('/') + 1).includes('.')) return '0.6.0';
  if (devices.some(({ name }) => /^\d/.test(name))) return '0.5.0';
  if (some(({ deviceNodes }) => deviceNodes.some(({ hostPath }) => hostPath !== undefined))) return '0.5.0';
  return some(({ mounts }) => mounts.some(({ type }) => type !== undefined)) ? '0.4.0' : '0.3.0';
}

function checkEdits({ env, deviceNodes, netDevices, hooks, mounts, intelRdt }: ContainerEdits): void {
  checkEnvironment(env);
  for (const { path, type = '', permissions = '' } of deviceNodes) {
    if (path === '') throw new CdiSpecError('invalid (empty) device path');
    if (!NODE_TYPES.includes(type)) throw new CdiSpecError(`device "${path}": invalid type "${type}"`);
    if (!/^[rwm]*$/.test(permissions)) throw new CdiSpecError(`device "${path}": invalid permissions "${permissions}"`);
  }
  for (const { hookName, path, env: hookEnv = [] } of hooks) {
    if (!HOOKS.includes(hookName)) throw new CdiSpecError(`invalid hook name "${hookName}"`);
    if (path === '') throw new CdiSpecError(`invalid hook "${hookName}" with empty path`);
    checkEnvironment(hookEnv);
  }
  for (const { hostPath, containerPath } of mounts) {
    if (hostPath === '') throw new CdiSpecError('invalid mount, empty host path');
    if (containerPath === '') throw new CdiSpecError('invalid mount, empty container path');
  }
  const closID = intelRdt?.closID ?? '';
  if (closID !== '/' && (closID.length >= 4096 || closID === '.' || closID === '..' || /[/\n]/.test(closID)))
    throw new CdiSpecError('invalid ClosID');
  for (const [key, what] of [
    ['hostInterfaceName', 'HostInterfaceName'],
    ['name', 'Name'],
  ] as const) {
    const values = netDevices.map(device => device[key]);
    if (values.includes('')) throw new CdiSpecError(`invalid linux net device, empty ${what}`);
    if (new Set(values).size < values.length) throw new CdiSpecError(`invalid linux net device, duplicate ${what}`);
  }
}

function checkEnvironment(env: readonly string[]): void {
  const wrong = env.find(entry => entry.indexOf('=') <= 0);
  if (wrong !== undefined) throw new CdiSpecError(`invalid environment variable "${wrong}"`);
}
