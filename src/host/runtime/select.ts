import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import type { CgroupLayout } from './cgroup.ts';
import { deleteContainer } from './container.ts';
import { RuntimeError } from './exit-error.ts';
import type { OciSpec } from './oci-spec.ts';

const NAMES = ['crun', 'runc', 'buildkit-runc'];
const MORE_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];
const PROBE_TIMEOUT = 20_000;

/** A runtime that works here, and how. */
export interface SelectedRuntime {
  readonly name: string;
  /** Its binary, links resolved. */
  readonly path: string;
  readonly cgroups: CgroupHandling;
  /** The compiled filter (base64), for runtimes that take it: compiling it anew takes a third of a step's time. */
  readonly seccompData?: string;
}

/** `hidden`: see `hideUnifiedCgroups`. `disabled`: no cgroup, so neither limits nor device rules. */
type CgroupHandling = 'native' | 'hidden' | 'disabled';

interface Candidate {
  readonly name: string;
  readonly path: string;
  readonly cgroups: CgroupHandling;
}

/** What trying a runtime needs. */
export interface SelectOptions {
  /** Where the answer is remembered until the machine restarts or a runtime changes. */
  readonly cacheFile: string;
  readonly layout: CgroupLayout;
  readonly rootless: boolean;
  /** A runtime to use in place of those in PATH. */
  readonly command: string | undefined;
  /** Prepares the cgroups and gives the binary to start for a candidate. */
  readonly prepare: (candidate: Candidate) => readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  /** An empty directory. */
  readonly place: string;
  /** The runtime's own state. */
  readonly stateRoot: string;
  readonly spec: (rootfs: string) => OciSpec;
}

/**
 * The fastest OCI runtime that works on this machine: each is asked to create a container until one can. Throws
 * `RuntimeError` with what each said, or what to install.
 */
export async function selectRuntime(options: SelectOptions): Promise<SelectedRuntime> {
  const candidates = listCandidates(options);
  if (candidates.length === 0) {
    throw new RuntimeError(
      options.command === undefined
        ? 'no OCI runtime found: RUN steps need crun or runc; install one, for example with "apt-get install crun" or "dnf install crun"'
        : `no OCI runtime found at ${options.command}`,
    );
  }
  const key = cacheKey(candidates, options);
  const cached = readCache(options.cacheFile, key);
  if (cached !== undefined) return cached;
  const complaints: string[] = [];
  for (const candidate of candidates) {
    const result = await tryCandidate(candidate, options);
    if (result.complaint === undefined) {
      const { seccompData } = result;
      const selected = { ...candidate, ...(seccompData === undefined ? {} : { seccompData }) };
      writeCache(options.cacheFile, key, selected);
      return selected;
    }
    complaints.push(`${candidate.path} (cgroups ${candidate.cgroups}): ${result.complaint}`);
  }
  throw new RuntimeError(`no OCI runtime works here:\n${complaints.join('\n')}`);
}

function listCandidates(options: SelectOptions): Candidate[] {
  const found: { name: string; path: string }[] = [];
  for (const name of options.command === undefined ? NAMES : [options.command]) {
    const path = findBinary(name);
    if (path !== undefined) found.push({ name: /runc/.test(path) ? 'runc' : 'crun', path });
  }
  const isCrun = ({ name }: { name: string }): boolean => name === 'crun';
  if (options.rootless) return found.map(binary => ({ ...binary, cgroups: isCrun(binary) ? 'disabled' : 'native' }));
  const candidates = found.map(
    (binary): Candidate => ({
      ...binary,
      cgroups: isCrun(binary) && options.layout === 'hybrid' ? 'hidden' : 'native',
    }),
  );
  // Without cgroups a step could open the machine's devices through nodes it makes, so that comes last.
  return [...candidates, ...found.filter(isCrun).map((binary): Candidate => ({ ...binary, cgroups: 'disabled' }))];
}

function findBinary(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_DIRECTORIES].filter(
    path => path !== '',
  );
  for (const path of name.includes('/') ? [name] : directories.map(directory => join(directory, name))) {
    try {
      accessSync(path, constants.X_OK);
      return realpathSync(path);
    } catch {
      // The next one.
    }
  }
  return undefined;
}

async function tryCandidate(
  candidate: Candidate,
  options: SelectOptions,
): Promise<{ readonly complaint?: string; readonly seccompData?: string }> {
  const rootfs = join(options.place, 'rootfs');
  const output = join(options.place, 'output');
  mkdirSync(rootfs, { recursive: true });
  // Creating a container looks for its program but does not start it.
  writeFileSync(join(rootfs, 'probe'), '', { mode: 0o755 });
  const spec = options.spec(rootfs);
  writeFileSync(join(options.place, 'config.json'), JSON.stringify(spec));
  const id = `probe-${process.pid}`;
  try {
    const command = options.prepare(candidate);
    const [binary, ...global] = command;
    const descriptor = openSync(output, 'w');
    const code = await new Promise<number>((resolve, reject) => {
      // The container keeps its outputs open, so they cannot be pipes that are read to the end.
      const child = spawn(binary, [...global, 'create', '--bundle', options.place, id], {
        stdio: ['ignore', descriptor, descriptor],
        env: options.environment,
        timeout: PROBE_TIMEOUT,
      });
      child.once('error', reject);
      child.once('exit', status => resolve(status ?? 255));
    }).finally(() => closeSync(descriptor));
    if (code !== 0) return { complaint: readFileSync(output, 'utf8').trim() || `exit code ${code}` };
    const seccompData =
      candidate.name === 'crun' && spec.linux.seccomp !== undefined
        ? compiledFilter(join(options.stateRoot, id))
        : undefined;
    deleteContainer(command, options.environment, id);
    return seccompData === undefined ? {} : { seccompData };
  } catch (error) {
    return { complaint: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(options.place, { recursive: true, force: true });
  }
}

function compiledFilter(directory: string): string | undefined {
  try {
    const data = readFileSync(join(directory, 'seccomp.bpf'));
    return data.length === 0 ? undefined : data.toString('base64');
  } catch {
    return undefined;
  }
}

function cacheKey(candidates: readonly Candidate[], options: SelectOptions): string {
  const binaries = candidates.map(({ path, cgroups }) => {
    const { mtimeMs, size, ino } = statSync(path);
    return [path, cgroups, mtimeMs, size, ino];
  });
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const parts = [boot, process.getuid?.(), options.layout, options.rootless, binaries, options.spec('').linux.seccomp];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function readCache(path: string, key: string): SelectedRuntime | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null || !('key' in value) || value.key !== key) return undefined;
    return 'runtime' in value && isSelected(value.runtime) ? value.runtime : undefined;
  } catch {
    return undefined;
  }
}

function isSelected(value: unknown): value is SelectedRuntime {
  return typeof value === 'object' && value !== null && 'path' in value && 'cgroups' in value && 'name' in value;
}

function writeCache(path: string, key: string, runtime: SelectedRuntime): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify({ key, runtime }), { mode: 0o600 });
  renameSync(temporary, path);
}
