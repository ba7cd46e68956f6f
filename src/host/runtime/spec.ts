import type { ContainerEdits } from '../cdi/container-edits.ts';
import { type Capability, SANDBOX_CAPABILITIES } from './capabilities.ts';
import { withDeviceMounts, withDevices } from './device-edits.ts';
import { insecureDevices } from './devices.ts';
import { DEFAULT_HOSTNAME } from './network-files.ts';
import type { LinuxResources, LinuxSeccomp, OciMount, OciProcess, OciSpec } from './oci-spec.ts';
import type { NetworkMode, SecurityMode, StepMeta, StepResources } from './step.ts';
import type { StepUser } from './user.ts';

/** crun before 1.9 refuses every version of the specification but 1.0. */
const OCI_VERSION = '1.0.2';
const UMASK = 0o022;

const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
  '/proc/scsi',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** All that decides about a step's spec, with every path resolved. */
export interface SpecOptions {
  readonly id: string;
  readonly rootfs: string;
  readonly meta: StepMeta;
  readonly user: StepUser;
  /** Complete, with `HOME`. */
  readonly env: readonly string[];
  /** Whether it has a terminal rather than pipes. */
  readonly terminal?: boolean;
  readonly hostsPath: string;
  readonly resolvConfPath: string;
  /** The step's own, sorted by destination. */
  readonly mounts: readonly OciMount[];
  /** What devices of the machine bring along. */
  readonly devices?: ContainerEdits;
  readonly network: Exclude<NetworkMode, 'default'>;
  readonly security: SecurityMode;
  readonly seccomp: LinuxSeccomp | undefined;
  readonly seccompData: string | undefined;
  /** What this process may do; an insecure step gets all of it. */
  readonly ownCapabilities: readonly Capability[];
  /** Whether cgroups are of version 2, which have namespaces. */
  readonly cgroupNamespace: boolean;
  /** Below the cgroup that the step would be in otherwise. */
  readonly cgroupSuffix: string;
  /** Whether this process is root of a user namespace only. */
  readonly rootless: boolean;
  /** Options that a bind of a path has to repeat. */
  readonly sourceOptions: (path: string) => readonly string[];
  /** Whether gid 5, which owns terminals, exists. */
  readonly ttyGroup: boolean;
  /** Shares the pid namespace of this process, for machines where a new `/proc` cannot be mounted. */
  readonly processSandbox: boolean;
}

/**
 * The runtime's configuration of a step (`config.json`): what BuildKit's OCI worker hands to runc.
 * @throws RuntimeError for devices that cannot be given
 */
export function stepSpec(options: SpecOptions): OciSpec {
  const { meta, security, rootless } = options;
  const insecure = security === 'insecure';
  const paths = insecure ? {} : protectedPaths(options);
  const profile = insecure ? undefined : options.seccomp;
  const spec: OciSpec = {
    ociVersion: OCI_VERSION,
    process: processSpec(options),
    root: { path: options.rootfs, readonly: meta.readonlyRootFs === true },
    hostname: meta.hostname === undefined || meta.hostname === '' ? DEFAULT_HOSTNAME : meta.hostname,
    mounts: allMounts(options, insecure),
    ...(profile === undefined || options.seccompData === undefined
      ? {}
      : { annotations: { 'run.oci.seccomp_bpf_data': options.seccompData } }),
    linux: {
      namespaces: namespaces(options),
      ...(rootless ? {} : { cgroupsPath: cgroupsPath(options), resources: resources(meta.resources, insecure) }),
      ...(insecure && !rootless ? { devices: insecureDevices() } : {}),
      ...(profile === undefined ? {} : { seccomp: profile }),
      ...paths,
    },
  };
  return options.devices === undefined ? spec : withDevices(spec, options.devices);
}

/** One process in the runtime's form: a step's first, or another one in the container that it runs in. */
export function processSpec({
  meta,
  user,
  env,
  security,
  ownCapabilities,
  terminal = false,
}: Pick<SpecOptions, 'meta' | 'user' | 'env' | 'security' | 'ownCapabilities' | 'terminal'>): OciProcess {
  return {
    terminal,
    user: { ...user, umask: UMASK },
    args: meta.args,
    env,
    cwd: meta.cwd,
    capabilities: capabilitySets(security === 'insecure' ? ownCapabilities : undefined),
    ...(meta.ulimits === undefined || meta.ulimits.length === 0
      ? {}
      : {
          rlimits: meta.ulimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, hard, soft })),
        }),
    noNewPrivileges: false,
  };
}

function protectedPaths({ processSandbox, cgroupNamespace }: SpecOptions): {
  maskedPaths: readonly string[];
  readonlyPaths: readonly string[];
} {
  // Some runtimes leave the directory of version 1 controllers itself writable.
  const cgroups = cgroupNamespace ? [] : ['/sys/fs/cgroup'];
  if (processSandbox) return { maskedPaths: MASKED_PATHS, readonlyPaths: [...READONLY_PATHS, ...cgroups] };
  const outside = (path: string): boolean => !path.startsWith('/proc');
  return { maskedPaths: MASKED_PATHS.filter(outside), readonlyPaths: READONLY_PATHS.filter(outside) };
}

function capabilitySets(own: readonly Capability[] | undefined): OciProcess['capabilities'] {
  if (own === undefined) {
    return { bounding: SANDBOX_CAPABILITIES, effective: SANDBOX_CAPABILITIES, permitted: SANDBOX_CAPABILITIES };
  }
  return { bounding: own, effective: own, permitted: own, inheritable: own, ambient: own };
}

function namespaces(options: SpecOptions): { type: string }[] {
  const types = ['ipc', 'uts', 'mount'];
  if (options.processSandbox) types.unshift('pid');
  if (options.network === 'none') types.push('network');
  if (options.cgroupNamespace && !options.rootless) types.push('cgroup');
  return types.map(type => ({ type }));
}

/** Where the step's cgroup is, below every controller's root. */
export function cgroupsPath({ id, meta, cgroupSuffix }: Pick<SpecOptions, 'id' | 'meta' | 'cgroupSuffix'>): string {
  const parent = meta.cgroupParent ?? '';
  if (parent.includes('.slice') && parent.endsWith(':')) return `${parent}${id}`;
  const names = parent.split('/').filter(name => name !== '' && name !== '.' && name !== '..');
  return `/${[...names, 'buildkit', id].join('/')}${cgroupSuffix}`;
}

function resources(limits: StepResources | undefined, insecure: boolean): LinuxResources {
  const devices = insecure
    ? [
        { allow: true, type: 'c', access: 'rwm' },
        { allow: true, type: 'b', access: 'rwm' },
      ]
    : [{ allow: false, access: 'rwm' }];
  if (limits === undefined) return { devices };
  const memory = { ...given('limit', limits.memory), ...given('swap', limits.memorySwap) };
  const cpu = {
    ...given('shares', limits.cpuShares),
    ...given('quota', limits.cpuQuota),
    ...given('period', limits.cpuPeriod),
    ...given('cpus', limits.cpusetCpus),
    ...given('mems', limits.cpusetMems),
  };
  return {
    devices,
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
  };
}

function given<K extends string, V extends number | string>(key: K, value: V | undefined): Partial<Record<K, V>> {
  const entry: Partial<Record<K, V>> = {};
  if (value !== undefined && value !== 0 && value !== '') entry[key] = value;
  return entry;
}

function allMounts(options: SpecOptions, insecure: boolean): OciMount[] {
  const system = ['nosuid', 'noexec', 'nodev'];
  const access = insecure ? 'rw' : 'ro';
  const proc: OciMount = options.processSandbox
    ? { destination: '/proc', type: 'proc', source: 'proc', options: system }
    : { destination: '/proc', type: 'bind', source: '/proc', options: ['rbind'] };
  const fixed: OciMount[] = [
    proc,
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: [
        ...['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
        ...(options.ttyGroup ? ['gid=5'] : []),
      ],
    },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...system, 'mode=1777', 'size=65536k'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: system },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...system, access] },
    readOnlyFile('/etc/resolv.conf', options.resolvConfPath, options),
    readOnlyFile('/etc/hosts', options.hostsPath, options),
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [access, ...system] },
  ];
  const kept = options.rootless ? fixed.filter(({ destination }) => !destination.startsWith('/sys')) : fixed;
  const below = withDeviceMounts(kept, options.devices?.mounts ?? [], options.sourceOptions);
  return replaceEqual([...below, ...options.mounts]);
}

function readOnlyFile(destination: string, source: string, { sourceOptions }: SpecOptions): OciMount {
  const options = ['nosuid', 'noexec', 'nodev', 'rbind', 'ro'];
  return { destination, type: 'bind', source, options: [...new Set([...options, ...sourceOptions(source)])] };
}

/** Of two mounts with one destination the later takes the place of the earlier. */
function replaceEqual(mounts: readonly OciMount[]): OciMount[] {
  return [...new Map(mounts.map(mount => [mount.destination, mount])).values()];
}
