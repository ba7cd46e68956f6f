/** What a device changes about a container (CDI specification 1.1.0, `containerEdits`). */
export interface ContainerEdits {
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly deviceNodes: readonly DeviceNode[];
  readonly netDevices: readonly NetDevice[];
  readonly hooks: readonly DeviceHook[];
  readonly mounts: readonly DeviceMount[];
  readonly intelRdt?: IntelRdt;
  readonly additionalGids: readonly number[];
}

/** A node that appears in the container. What is absent is as on the machine. */
export interface DeviceNode {
  readonly path: string;
  readonly hostPath?: string;
  /** `b`, `c`, `u` or `p`. */
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Permission bits. */
  readonly fileMode?: number;
  /** Letters of `rwm`. */
  readonly permissions?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** A network interface of the machine that moves into the container. */
interface NetDevice {
  readonly hostInterfaceName: string;
  readonly name: string;
}

/** A program that the runtime starts at some point of a container's life. */
export interface DeviceHook {
  readonly hookName: string;
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

export interface DeviceMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly options?: readonly string[];
  readonly type?: string;
}

export interface IntelRdt {
  readonly closID?: string;
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly schemata?: readonly string[];
  readonly enableMonitoring?: boolean;
}

/** Several edits as one, in their order; of what there can be only one the last counts. */
export function mergeEdits(edits: readonly ContainerEdits[]): ContainerEdits {
  const intelRdt = edits.findLast(edit => edit.intelRdt !== undefined)?.intelRdt;
  return {
    env: edits.flatMap(({ env }) => env),
    deviceNodes: edits.flatMap(({ deviceNodes }) => deviceNodes),
    netDevices: edits.flatMap(({ netDevices }) => netDevices),
    hooks: edits.flatMap(({ hooks }) => hooks),
    mounts: edits.flatMap(({ mounts }) => mounts),
    ...(intelRdt === undefined ? {} : { intelRdt }),
    additionalGids: edits.flatMap(({ additionalGids }) => additionalGids),
  };
}
