import { lstatSync } from 'node:fs';
import { posix } from 'node:path';
import type { ContainerEdits, DeviceMount, DeviceNode, IntelRdt } from '../cdi/container-edits.ts';
import { splitDevice } from '../system/inode.ts';
import { RuntimeError } from './exit-error.ts';
import type { LinuxDevice, OciHook, OciMount, OciSpec } from './oci-spec.ts';

/**
 * A step's spec with what devices bring along (CDI specification 1.1.0), but for mounts, which go below those of the step:
 * see {@link withDeviceMounts}.
 * @throws RuntimeError for a node that the machine lacks or that is another one there
 */
export function withDevices(spec: OciSpec, edits: ContainerEdits): OciSpec {
  const { process, linux } = spec;
  const { uid, gid } = process.user;
  const nodes = edits.deviceNodes.map(node => ({
    device: deviceOf(node, uid, gid),
    access: node.permissions || 'rwm',
  }));
  const devices = new Map((linux.devices ?? []).map(device => [device.path, device]));
  for (const { device } of nodes) {
    // A node that takes the place of another comes where new ones come.
    devices.delete(device.path);
    devices.set(device.path, device);
  }
  const rules = nodes.flatMap(({ device: { type, major, minor }, access }) =>
    type === 'b' || type === 'c' ? [{ allow: true, type, major, minor, access }] : [],
  );
  const gids = edits.additionalGids.filter(id => id !== 0);
  const { resources } = linux;
  return {
    ...spec,
    process: {
      ...process,
      env: withVariables(process.env, edits.env),
      user: { ...process.user, additionalGids: [...new Set([...process.user.additionalGids, ...gids])] },
    },
    ...(edits.hooks.length === 0 ? {} : { hooks: hooksOf(edits) }),
    linux: {
      ...linux,
      ...(devices.size === 0 ? {} : { devices: [...devices.values()] }),
      ...(resources === undefined || rules.length === 0
        ? {}
        : { resources: { ...resources, devices: [...(resources.devices ?? []), ...rules] } }),
      ...(edits.netDevices.length === 0
        ? {}
        : {
            netDevices: Object.fromEntries(
              edits.netDevices.map(({ hostInterfaceName, name }) => [hostInterfaceName, { name }]),
            ),
          }),
      ...(edits.intelRdt === undefined ? {} : { intelRdt: intelRdtOf(edits.intelRdt) }),
    },
  };
}

/** Mounts with those of devices among them, the shallow before the deep. Of two with one destination the device's stays. */
export function withDeviceMounts(
  mounts: readonly OciMount[],
  added: readonly DeviceMount[],
  sourceOptions: (path: string) => readonly string[],
): readonly OciMount[] {
  if (added.length === 0) return mounts;
  const all = new Map(mounts.map(mount => [mount.destination, mount]));
  for (const { hostPath, containerPath, options = [], type } of added) {
    const isBind = options.includes('bind') || options.includes('rbind');
    all.delete(containerPath);
    all.set(containerPath, {
      destination: containerPath,
      type: type ?? (isBind ? 'bind' : ''),
      source: hostPath,
      options: isBind ? [...new Set([...options, ...sourceOptions(hostPath)])] : options,
    });
  }
  const depth = ({ destination }: OciMount): number => posix.normalize(destination).split('/').length;
  return [...all.values()].sort((a, b) => depth(a) - depth(b));
}

function withVariables(env: readonly string[], added: readonly string[]): string[] {
  const variables = [...env];
  for (const entry of added) {
    const name = entry.slice(0, entry.indexOf('=') + 1);
    const index = variables.findIndex(variable => variable.startsWith(name));
    if (index < 0) variables.push(entry);
    else variables[index] = entry;
  }
  return variables;
}

function deviceOf(node: DeviceNode, uid: number, gid: number): LinuxDevice {
  const filled = filledIn(node);
  return {
    ...filled,
    path: node.path,
    ...(node.uid !== undefined || uid > 0 ? { uid: node.uid ?? uid } : {}),
    ...(node.gid !== undefined || gid > 0 ? { gid: node.gid ?? gid } : {}),
  };
}

/** What a node is, with what its description leaves to the machine's. */
function filledIn({
  path,
  hostPath = path,
  type = '',
  major = 0,
  minor = 0,
  fileMode,
}: DeviceNode): Pick<LinuxDevice, 'type' | 'major' | 'minor' | 'fileMode'> {
  const isWhole = type !== '' && (major !== 0 || type === 'p');
  let found: ReturnType<typeof nodeAt>;
  try {
    found = nodeAt(hostPath);
  } catch (cause) {
    if (isWhole) return { type, major, minor, ...(fileMode === undefined ? {} : { fileMode }) };
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RuntimeError(`failed to stat CDI host device "${hostPath}": ${reason}`, { cause });
  }
  const mode = fileMode ?? found.fileMode;
  if (isWhole) return { type, major, minor, fileMode: mode };
  if (type !== '' && type !== found.type) {
    throw new RuntimeError(`CDI device ("${path}", "${hostPath}"), host type mismatch (${type}, ${found.type})`);
  }
  if (found.type === 'p' || major !== 0) return { type: found.type, major, minor, fileMode: mode };
  return { type: found.type, major: found.major, minor: found.minor, fileMode: mode };
}

function nodeAt(path: string): { type: string; major: number; minor: number; fileMode: number } {
  const status = lstatSync(path, { bigint: true });
  const type = status.isBlockDevice() ? 'b' : status.isCharacterDevice() ? 'c' : status.isFIFO() ? 'p' : undefined;
  if (type === undefined) throw new RuntimeError('not a device node');
  return { type, ...splitDevice(status.rdev), fileMode: Number(status.mode & 0o7777n) };
}

function hooksOf({ hooks }: ContainerEdits): Record<string, OciHook[]> {
  const byName: Record<string, OciHook[]> = {};
  for (const { hookName, ...hook } of hooks) {
    const list = byName[hookName] ?? [];
    byName[hookName] = list;
    list.push(hook);
  }
  return byName;
}

function intelRdtOf({
  closID,
  enableMonitoring,
  ...rest
}: IntelRdt): Record<string, string | boolean | readonly string[]> {
  return {
    ...(closID === undefined ? {} : { closID }),
    ...(enableMonitoring === undefined ? {} : { enableMonitoring }),
    ...rest,
  };
}
