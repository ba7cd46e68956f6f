import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Device } from '../../host/cdi/devices.ts';
import type { DaemonConfig, DiskSpace, GcRule } from '../../host/config/daemon-config.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatform, hostPlatform, normalizePlatform, parsePlatform } from '../../wire/oci/platform.ts';
import type { BuildkitVersionSchema, WorkerRecordSchema } from '../../wire/proto/gen/control/worker_pb.ts';
import { DOCKERFILE_VERSION } from '../builder/build-provenance.ts';
import { newID } from '../builder/embedded-host.ts';
import { version } from '../cli/version.ts';
import { platformMessage } from './wire-values.ts';

/** A rule of what is given up by itself, its limits in bytes. */
export interface GcPolicy {
  readonly all: boolean;
  readonly filters: readonly string[];
  /** Milliseconds; 0 for any age. */
  readonly keepDuration: number;
  readonly reservedSpace: number;
  readonly maxUsedSpace: number;
  readonly minFreeSpace: number;
}

/** What clients are told of the engine behind the daemon. */
export interface Worker {
  /** The same for as long as its root lives. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The first is what is built for unless somebody asks. */
  readonly platforms: readonly [Platform, ...Platform[]];
  readonly gcPolicy: readonly GcPolicy[];
}

const LABEL = 'org.mobyproject.buildkit.worker';
const DAY = 86_400_000;
const GB = 1e9;

/** The version that clients see. The package name is BuildKit's: some of them look for it. */
export function versionMessage(): MessageInitShape<typeof BuildkitVersionSchema> {
  return {
    package: 'github.com/moby/buildkit',
    version: `v0.0.0+outcrop.${version()}`,
    dockerfileVersion: DOCKERFILE_VERSION,
  };
}

/** The worker of a root. Makes the file with its id. */
export function openWorker(root: string, config: DaemonConfig): Worker {
  const { worker } = config;
  const native = normalizePlatform(hostPlatform());
  const [first = native, ...others] =
    worker.platforms.length > 0
      ? worker.platforms.map(text => normalizePlatform(parsePlatform(text)))
      : machinePlatforms(native);
  return {
    id: workerID(root),
    labels: {
      [`${LABEL}.executor`]: 'oci',
      [`${LABEL}.hostname`]: hostname(),
      [`${LABEL}.network`]: 'host',
      [`${LABEL}.oci.process-mode`]: worker.noProcessSandbox ? 'no-sandbox' : 'sandbox',
      [`${LABEL}.selinux.enabled`]: 'false',
      [`${LABEL}.snapshotter`]: 'overlayfs',
      ...worker.labels,
    },
    platforms: [first, ...others],
    gcPolicy: worker.gc ? gcPolicy(root, config) : [],
  };
}

function workerID(root: string): string {
  const file = join(root, 'workerid');
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  mkdirSync(root, { recursive: true });
  const id = newID();
  writeFileSync(file, id);
  return id;
}

/** What the machine runs by itself: its own platform, its variants, and 32-bit programs of the same family. */
function machinePlatforms(native: Platform): Platform[] {
  if (native.architecture !== 'amd64') return [native];
  const variants = amd64Level();
  return [
    { os: native.os, architecture: 'amd64' },
    ...Array.from({ length: variants - 1 }, (_, index) => ({
      os: native.os,
      architecture: 'amd64',
      variant: `v${index + 2}`,
    })),
  ];
}

const LEVELS: readonly (readonly string[])[] = [
  ['cx16', 'lahf_lm', 'popcnt', 'sse4_1', 'sse4_2', 'ssse3'],
  ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave'],
  ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
];

/** The level of the processor, 1 to 4 (x86-64 psABI, 3.1.1). */
function amd64Level(): number {
  let flags: ReadonlySet<string>;
  try {
    flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' ') ?? []);
  } catch {
    return 1;
  }
  const missing = LEVELS.findIndex(level => !level.every(flag => flags.has(flag)));
  return missing < 0 ? LEVELS.length + 1 : missing + 1;
}

/** The rules of the configuration, or BuildKit's default ones (control-api facts, 12). */
function gcPolicy(root: string, { worker }: DaemonConfig): GcPolicy[] {
  mkdirSync(root, { recursive: true });
  const { blocks, bsize } = statfsSync(root);
  const disk = blocks * bsize;
  const share = (percent: number) => (Math.floor((disk * percent) / 100 / 2 ** 30) + 1) * GB;
  const bytes = (space: DiskSpace | undefined, otherwise: number) =>
    space === undefined ? otherwise : 'bytes' in space ? space.bytes : share(space.percent);
  const reservedSpace = bytes(worker.reservedSpace, Math.min(share(10), 10 * GB));
  const maxUsedSpace = bytes(worker.maxUsedSpace, Math.min(share(80), 100 * GB));
  const minFreeSpace = bytes(worker.minFreeSpace, share(20));
  if (worker.gcPolicy.length > 0) {
    return worker.gcPolicy.map((rule: GcRule) => ({
      all: rule.all,
      filters: rule.filters,
      keepDuration: rule.keepDuration,
      reservedSpace: bytes(rule.reservedSpace, 0),
      maxUsedSpace: bytes(rule.maxUsedSpace, 0),
      minFreeSpace: bytes(rule.minFreeSpace, 0),
    }));
  }
  const limits = { reservedSpace, maxUsedSpace, minFreeSpace };
  return [
    {
      all: false,
      filters: ['type==source.local', 'type==exec.cachemount', 'type==source.git.checkout'],
      keepDuration: 2 * DAY,
      reservedSpace: 0,
      maxUsedSpace: 512e6,
      minFreeSpace: 0,
    },
    { all: false, filters: [], keepDuration: 60 * DAY, ...limits },
    { all: false, filters: [], keepDuration: 0, ...limits },
    { all: true, filters: [], keepDuration: 0, ...limits },
  ];
}

/** A worker as a gateway tells of it. */
export function briefWorkerMessage({ id, labels, platforms }: Worker) {
  return { ID: id, Labels: { ...labels }, platforms: platforms.map(platformMessage) };
}

/** A worker as it travels, with the devices that its steps may get. */
export function workerMessage(worker: Worker, devices: readonly Device[]): MessageInitShape<typeof WorkerRecordSchema> {
  return {
    ...briefWorkerMessage(worker),
    GCPolicy: worker.gcPolicy.map(policy => ({
      all: policy.all,
      filters: [...policy.filters],
      keepDuration: BigInt(Math.round(policy.keepDuration * 1e6)),
      reservedSpace: BigInt(policy.reservedSpace),
      maxUsedSpace: BigInt(policy.maxUsedSpace),
      minFreeSpace: BigInt(policy.minFreeSpace),
    })),
    BuildkitVersion: versionMessage(),
    CDIDevices: devices.map(({ name, isAutoAllowed, annotations }) => ({
      Name: name,
      AutoAllow: isAutoAllowed,
      Annotations: { ...annotations },
    })),
  };
}

/** The name of a platform as results are keyed by it. */
export function platformID(platform: Platform): string {
  return formatPlatform(normalizePlatform(platform));
}
