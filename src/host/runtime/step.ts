import type { Duplex } from 'node:stream';

/** How a step is run: the part of LLB's `Meta` that the runtime needs. */
export interface StepMeta {
  readonly args: readonly string[];
  /** `NAME=value`, in order and complete (see `stepEnvironment`); `HOME` is added when missing. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** `user`, `uid`, `user:group`, …, looked up in the root's own files; empty is root. */
  readonly user?: string;
  readonly hostname?: string;
  readonly extraHosts?: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent?: string;
  readonly resources?: StepResources;
  /** Exit codes that count as success; `[0]` by default. */
  readonly validExitCodes?: readonly number[];
  /** Removes the parents that the runtime made for a mount point, too. */
  readonly removeMountStubsRecursive?: boolean;
  readonly readonlyRootFs?: boolean;
}

/** Limits on a step; what is absent or 0 is not limited. */
export interface StepResources {
  /** Bytes. */
  readonly memory?: number;
  /** Bytes of memory and swap together, -1 for any. */
  readonly memorySwap?: number;
  readonly cpuShares?: number;
  /** Microseconds. */
  readonly cpuPeriod?: number;
  /** Microseconds of a period. */
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

/** One mount of a step. `target` is a path inside the root. */
export type StepMount = BindMount | TmpfsMount | SecretMount | SshMount;

export interface BindMount {
  readonly kind: 'bind';
  readonly target: string;
  /** A directory or file of the machine; a snapshot's view must be mounted there already. */
  readonly source: string;
  /** A path in `source`, links followed inside it; the whole by default. */
  readonly selector?: string;
  readonly readOnly?: boolean;
}

export interface TmpfsMount {
  readonly kind: 'tmpfs';
  readonly target: string;
  /** Bytes; unlimited, that is half of the memory, by default. */
  readonly size?: number;
  readonly readOnly?: boolean;
}

export interface SecretMount {
  readonly kind: 'secret';
  readonly target: string;
  readonly data: Uint8Array;
  /** Permission bits; 0400 by default. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface SshMount {
  readonly kind: 'ssh';
  readonly target: string;
  /** The agent: its socket's path, or what opens a new connection to it. */
  readonly agent: string | (() => Duplex);
  /** Permission bits; 0600 by default. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * The network of a step: the machine's own (`host`), a new one with nothing but loopback (`none`), or what this
 * runtime was set to (`default`).
 */
export type NetworkMode = 'default' | 'host' | 'none';

/** `insecure` gives a step all capabilities and devices that this process has. */
export type SecurityMode = 'sandbox' | 'insecure';
