import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { ContainerEdits } from '../cdi/container-edits.ts';
import { bindMount, UnmountFlag, unmount } from '../system/mount.ts';
import { inPrivateMountNamespace } from '../system/namespace.ts';
import { inUserNamespace } from '../system/overlay.ts';
import { mountOptions } from '../system/statfs.ts';
import { ownCapabilities, SANDBOX_CAPABILITIES } from './capabilities.ts';
import { cgroupLayout, hideUnifiedCgroups, type LegacyView, watchOutOfMemory } from './cgroup.ts';
import { deleteContainer, execInContainer, type ProcessControl, type RuntimeCall, runContainer } from './container.ts';
import { ExitError, RuntimeError } from './exit-error.ts';
import { openInstance } from './instance.ts';
import { watchMountStubs } from './mount-stubs.ts';
import { mountMemory, prepareMounts } from './mounts.ts';
import type { DnsSettings } from './network-files.ts';
import type { LinuxSeccomp } from './oci-spec.ts';
import { seccompProfile } from './seccomp.ts';
import { type SelectedRuntime, selectRuntime } from './select.ts';
import { cgroupsPath, processSpec, type SpecOptions, stepSpec } from './spec.ts';
import { crunStartFailure } from './start-failure.ts';
import type { NetworkMode, SecurityMode, StepMeta, StepMount } from './step.ts';
import { type StepFiles, stepFiles } from './step-files.ts';
import { homeOf, lookUpUser } from './user.ts';
import { isGroupMapped, permittedUser } from './user-namespace.ts';
import { makeWorkingDirectory } from './working-directory.ts';

/** How a runtime is set up. */
export interface RuntimeOptions {
  /** Where bundles and the runtime's state are kept while it runs; best in memory. */
  readonly stateDir: string;
  /** The OCI runtime to use, a name or path; by default the fastest of crun and runc that works. */
  readonly command?: string;
  readonly dns?: DnsSettings;
  /** What steps with network `default` get; the machine's network by default, as BuildKit without a CNI. */
  readonly defaultNetwork?: 'host' | 'none';
  /** `false` shares this process's pid namespace, where a new `/proc` cannot be mounted; rootless in a container. */
  readonly processSandbox?: boolean;
}

/** One step to run. */
export interface Step {
  /** Unique among running steps; made if absent. */
  readonly id?: string;
  /** The root file system, mounted read-write by the caller. */
  readonly rootfs: string;
  readonly meta: StepMeta;
  readonly mounts: readonly StepMount[];
  /** What devices of the machine bring along. */
  readonly devices?: ContainerEdits;
  readonly network: NetworkMode;
  readonly security: SecurityMode;
  /** Called with each piece of output, at most 32 KiB; the bytes are the callee's. */
  readonly stdout: (chunk: Uint8Array) => void;
  readonly stderr: (chunk: Uint8Array) => void;
  readonly signal?: AbortSignal;
  /** For those who talk with the step. */
  readonly interaction?: StepInteraction;
}

/** How somebody talks with a process. */
export interface StepInteraction {
  /** What it can read; nothing unless given. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** A terminal in place of pipes: all output is standard output. */
  readonly terminal?: boolean;
  /** Told once the process runs. */
  readonly onStarted: (control: StepControl) => void;
}

/** Speaks to a step that runs. */
export interface StepControl extends ProcessControl {
  /** Runs another process in the step's container. Returns and throws as `Runtime.run` does. */
  exec(process: StepProcess): Promise<{ readonly exitCode: number }>;
}

/** A further process in a container. */
export interface StepProcess extends Pick<Step, 'security' | 'stdout' | 'stderr' | 'signal'> {
  readonly meta: Pick<StepMeta, 'args' | 'env' | 'cwd' | 'user' | 'ulimits' | 'validExitCodes'>;
  readonly interaction?: Omit<StepInteraction, 'onStarted'> & {
    readonly onStarted: (control: ProcessControl) => void;
  };
}

/** Runs steps in containers. Disposing it waits for nothing: steps are to have ended. */
export interface Runtime extends AsyncDisposable {
  /**
   * Runs a step to its end. Changes stay in `rootfs`; mount points that only the runtime needed are removed again.
   *
   * @returns Its exit code, one of `meta.validExitCodes`.
   * @throws `ExitError` for any other exit code and when cancelled, `UserError`, `RuntimeError`, `SystemError`.
   */
  run(step: Step): Promise<{ readonly exitCode: number }>;
  /** Finds out which runtime works, so that the first step need not. */
  prepare(): Promise<SelectedRuntime>;
}

interface Prepared {
  readonly selected: SelectedRuntime;
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  /** A directory in memory that only this process and its steps can see. */
  readonly memory: string;
  readonly files: StepFiles;
  readonly showControllers: (names: readonly string[]) => void;
  readonly fixed: FixedOptions;
}

type FixedOptions = Pick<
  SpecOptions,
  | 'seccomp'
  | 'seccompData'
  | 'ownCapabilities'
  | 'cgroupNamespace'
  | 'rootless'
  | 'sourceOptions'
  | 'ttyGroup'
  | 'processSandbox'
>;

/** What a step's cgroup is called when its parent outlives it. */
const WATCHED_SUFFIX = '/step';
const OK = [0];
/** The group that terminals belong to. */
const TTY_GROUP = 5;

/**
 * Makes a runtime; nothing is looked for or started before the first step. The process must have called
 * `enterPrivateMountNamespace`.
 */
export function createRuntime(options: RuntimeOptions): Runtime {
  const owned = new AsyncDisposableStack();
  let prepared: Promise<Prepared> | undefined;
  const ready = (): Promise<Prepared> => {
    prepared ??= prepareRuntime(options, owned).catch((error: unknown) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  };
  return {
    async run(step) {
      step.signal?.throwIfAborted();
      return await runStep(step, await ready(), options.defaultNetwork ?? 'host');
    },
    async prepare() {
      return (await ready()).selected;
    },
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
    },
  };
}

async function prepareRuntime(options: RuntimeOptions, owned: AsyncDisposableStack): Promise<Prepared> {
  if (!inPrivateMountNamespace()) throw new RuntimeError('steps need a private mount namespace');
  await using made = new AsyncDisposableStack();
  const instance = made.use(await openInstance(options.stateDir));
  const layout = cgroupLayout();
  const rootless = inUserNamespace();
  const memory = makeDirectory(instance.directory, 'memory');
  made.use(mountMemory(memory));
  const files = stepFiles(memory, options.dns ?? {});
  const seccomp = defaultProfile();
  const fixed = {
    seccomp,
    seccompData: undefined,
    ownCapabilities: ownCapabilities(),
    cgroupNamespace: layout === 'unified',
    rootless,
    // A user namespace may not drop a flag of the mount that it binds.
    sourceOptions: rootless ? mountOptions : () => [],
    ttyGroup: !rootless || isGroupMapped(TTY_GROUP),
    processSandbox: options.processSandbox !== false,
  };
  const environment: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    // We start the runtime from a read-only mount, so it need not copy itself first (CVE-2019-5736).
    _LIBCONTAINER_CLONED_BINARY: '1',
  };
  const runtimeDirectory = process.env['XDG_RUNTIME_DIR'];
  if (runtimeDirectory !== undefined) environment['XDG_RUNTIME_DIR'] = runtimeDirectory;
  let view: LegacyView | undefined;
  const binaries = new Map<string, string>();
  const prepare = ({ name, path, cgroups }: SelectedRuntime): [string, ...string[]] => {
    view?.[Symbol.dispose]();
    view = undefined;
    // crun refuses the mixed layout even when it is not to make a cgroup.
    if (cgroups === 'hidden' || (name === 'crun' && layout === 'hybrid')) {
      const place = makeDirectory(instance.directory, 'cgroup');
      view = hideUnifiedCgroups(place, cgroups === 'hidden' ? ['devices'] : []);
    }
    let binary = binaries.get(path);
    if (binary === undefined) {
      binary = readOnlyBinary(instance.directory, path, made);
      binaries.set(path, binary);
    }
    const root = ['--root', instance.stateRoot];
    return [binary, ...root, ...(name === 'crun' && cgroups === 'disabled' ? ['--cgroup-manager=disabled'] : [])];
  };
  made.defer(() => view?.[Symbol.dispose]());
  const selected = await selectRuntime({
    cacheFile: join(options.stateDir, 'runtime.json'),
    layout,
    rootless,
    command: options.command,
    prepare,
    environment,
    place: join(memory, 'probe'),
    stateRoot: instance.stateRoot,
    spec: rootfs => probeSpec(rootfs, files, fixed),
  });
  const command = prepare(selected);
  for (const dead of instance.stale) {
    const old: [string, ...string[]] = [command[0], '--root', dead.stateRoot, ...command.slice(3)];
    for (const id of dead.containers) deleteContainer(old, environment, id);
    dead.remove();
  }
  owned.use(made.move());
  return {
    selected,
    command,
    environment,
    memory,
    files,
    showControllers: names => (selected.cgroups === 'hidden' ? view?.show(names) : undefined),
    fixed: { ...fixed, ...filterOf(selected, seccomp) },
  };
}

function makeDirectory(parent: string, name: string): string {
  const path = join(parent, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function readOnlyBinary(directory: string, path: string, made: AsyncDisposableStack): string {
  const target = join(directory, `runtime-${randomBytes(4).toString('hex')}`);
  writeFileSync(target, '');
  bindMount(path, target, { readOnly: true });
  made.defer(() => unmount(target, UnmountFlag.detach));
  return target;
}

/** The filter for the spec: where the compiled one is used, the text must be there but is not read. */
function filterOf(
  selected: SelectedRuntime,
  seccomp: LinuxSeccomp | undefined,
): Pick<SpecOptions, 'seccomp' | 'seccompData'> {
  if (seccomp === undefined || selected.seccompData === undefined) return { seccomp, seccompData: undefined };
  // A runtime that did not know the annotation would apply this one: nothing could run, rather than everything.
  const { defaultAction, defaultErrnoRet } = seccomp;
  return { seccomp: { defaultAction, defaultErrnoRet, syscalls: [] }, seccompData: selected.seccompData };
}

function defaultProfile(): LinuxSeccomp | undefined {
  if (!/^Seccomp:/m.test(readFileSync('/proc/self/status', 'utf8'))) return undefined;
  const [major = 0, minor = 0] = release()
    .split('.', 2)
    .map(part => Number.parseInt(part, 10));
  const safePtrace = major > 4 || (major === 4 && minor >= 8);
  return seccompProfile(new Set(SANDBOX_CAPABILITIES), { architecture: process.arch, safePtrace });
}

function probeSpec(rootfs: string, files: StepFiles, fixed: FixedOptions): ReturnType<typeof stepSpec> {
  const meta: StepMeta = { args: ['/probe'], env: ['PATH=/'], cwd: '/' };
  return stepSpec({
    ...fixed,
    id: `probe-${process.pid}`,
    rootfs,
    meta,
    user: { uid: 0, gid: 0, additionalGids: [0] },
    env: meta.env,
    hostsPath: files.hosts(meta),
    resolvConfPath: files.resolvConf(false),
    mounts: [],
    network: 'host',
    security: 'sandbox',
    cgroupSuffix: '',
  });
}

async function runStep(
  step: Step,
  runtime: Prepared,
  defaultNetwork: 'host' | 'none',
): Promise<{ readonly exitCode: number }> {
  const { meta, rootfs } = step;
  const { fixed } = runtime;
  const id = step.id ?? newId();
  await using cleanup = new AsyncDisposableStack();
  const place = join(runtime.memory, id);
  mkdirSync(place, { mode: 0o711 });
  cleanup.defer(() => rmSync(place, { recursive: true, force: true }));
  const network = step.network === 'default' ? defaultNetwork : step.network;
  const targets = ['/etc/resolv.conf', '/etc/hosts', ...step.mounts.map(({ target }) => target)];
  cleanup.defer(watchMountStubs(rootfs, targets, meta.removeMountStubsRecursive === true));
  const user = permittedUser(lookUpUser(rootfs, meta.user ?? ''), fixed.rootless);
  const mounts = await prepareMounts(step.mounts, {
    place,
    secrets: join(runtime.memory, 'secrets'),
    id,
    sourceOptions: fixed.sourceOptions,
    cleanup,
  });
  makeWorkingDirectory(rootfs, meta.cwd, user.uid, user.gid);
  if (meta.resources !== undefined) runtime.showControllers(['memory', 'cpu', 'cpuset']);
  // Before crun adds a process to a container it looks whether that is frozen.
  if (step.interaction !== undefined) runtime.showControllers(['freezer']);
  const watched = watchMemory(id, step, runtime);
  if (watched !== undefined) cleanup.use(watched);
  const spec = stepSpec({
    ...fixed,
    id,
    rootfs,
    meta,
    user,
    env: withHome(meta.env, rootfs, user.uid),
    hostsPath: runtime.files.hosts(meta),
    resolvConfPath: runtime.files.resolvConf(network !== 'host'),
    mounts,
    ...(step.devices === undefined ? {} : { devices: step.devices }),
    network,
    security: step.security,
    cgroupSuffix: watched === undefined ? '' : WATCHED_SUFFIX,
    ...(step.interaction?.terminal === undefined ? {} : { terminal: step.interaction.terminal }),
  });
  writeFileSync(join(place, 'config.json'), JSON.stringify(spec));
  step.signal?.throwIfAborted();
  const command = commandFor(meta, runtime, place);
  const exec = (process: StepProcess) => execProcess(process, { command, runtime, place, rootfs, id });
  const exitCode = await runContainer({
    command,
    environment: runtime.environment,
    id,
    bundle: place,
    pidFile: join(place, 'pid'),
    ...outputs(step, runtime),
    ...(step.signal === undefined ? {} : { signal: step.signal }),
    ...interactionOf(step.interaction, control => ({ ...control, exec })),
  });
  if ((meta.validExitCodes ?? OK).includes(exitCode)) return { exitCode };
  const text = (watched?.kills() ?? 0) > 0 ? 'cannot allocate memory' : `exit code: ${exitCode}`;
  if (step.signal?.aborted === true) {
    throw new ExitError(exitCode, `${text}: context canceled`, { cause: step.signal.reason });
  }
  throw new ExitError(exitCode, text);
}

function interactionOf<Control extends ProcessControl>(
  interaction: (Omit<StepInteraction, 'onStarted'> & { onStarted: (control: Control) => void }) | undefined,
  complete: (control: ProcessControl) => Control,
): Pick<RuntimeCall, 'stdin' | 'terminal' | 'onStarted'> {
  if (interaction === undefined) return {};
  const { onStarted, ...streams } = interaction;
  return { ...streams, onStarted: control => onStarted(complete(control)) };
}

interface RunningStep {
  readonly command: readonly [string, ...string[]];
  readonly runtime: Prepared;
  readonly place: string;
  readonly rootfs: string;
  readonly id: string;
}

async function execProcess(
  { meta, security, stdout, stderr, signal, interaction }: StepProcess,
  { command, runtime, place, rootfs, id }: RunningStep,
): Promise<{ readonly exitCode: number }> {
  signal?.throwIfAborted();
  const { fixed } = runtime;
  const user = permittedUser(lookUpUser(rootfs, meta.user ?? ''), fixed.rootless);
  const env = withHome(meta.env, rootfs, user.uid);
  const name = randomBytes(8).toString('hex');
  const processFile = join(place, `${name}.json`);
  const terminal = interaction?.terminal ?? false;
  writeFileSync(
    processFile,
    JSON.stringify(processSpec({ meta, user, env, security, ownCapabilities: fixed.ownCapabilities, terminal })),
  );
  try {
    const exitCode = await execInContainer({
      command,
      environment: runtime.environment,
      id,
      processFile,
      pidFile: join(place, `${name}.pid`),
      stdout,
      stderr,
      ...(signal === undefined ? {} : { signal }),
      ...interactionOf(interaction, control => control),
    });
    if ((meta.validExitCodes ?? OK).includes(exitCode)) return { exitCode };
    throw new ExitError(exitCode);
  } finally {
    rmSync(processFile, { force: true });
  }
}

function withHome(env: readonly string[], rootfs: string, uid: number): readonly string[] {
  return env.some(entry => entry.startsWith('HOME=')) ? env : [...env, `HOME=${homeOf(rootfs, uid)}`];
}

function watchMemory(id: string, step: Step, runtime: Prepared): ReturnType<typeof watchOutOfMemory> | undefined {
  const { meta } = step;
  const limited = (meta.resources?.memory ?? 0) > 0;
  // A slice belongs to systemd, which names what is below it.
  if (!limited || !runtime.fixed.cgroupNamespace || runtime.selected.cgroups !== 'native' || isSlice(meta)) {
    return undefined;
  }
  return watchOutOfMemory(cgroupsPath({ id, meta, cgroupSuffix: '' }));
}

function isSlice(meta: StepMeta): boolean {
  return meta.cgroupParent?.includes('.slice') === true && meta.cgroupParent.endsWith(':');
}

function commandFor(meta: StepMeta, runtime: Prepared, place: string): readonly [string, ...string[]] {
  const [binary, ...args] = runtime.command;
  if (isSlice(meta) && runtime.selected.cgroups === 'native') args.push('--systemd-cgroup');
  // With a log elsewhere, runc's own errors are plain lines.
  if (runtime.selected.name === 'runc') args.push('--log', join(place, 'log.json'), '--log-format', 'json');
  return [binary, ...args];
}

function outputs(step: Step, runtime: Prepared): Pick<Step, 'stdout' | 'stderr'> {
  if (runtime.selected.name !== 'crun') return step;
  let first = true;
  return {
    stdout(chunk) {
      first = false;
      step.stdout(chunk);
    },
    stderr(chunk) {
      const text = first ? crunStartFailure(chunk, step.meta.args[0] ?? '') : undefined;
      first = false;
      step.stderr(text === undefined ? chunk : Buffer.from(text));
    },
  };
}

let ids: { readonly prefix: string; count: number } | undefined;

/** An id like BuildKit's: 25 characters of `0-9a-z`, the first 16 of them random for each process. */
function newId(): string {
  ids ??= { prefix: Array.from(randomBytes(16), byte => (byte % 36).toString(36)).join(''), count: 0 };
  ids.count += 1;
  return ids.prefix + ids.count.toString(36).padStart(9, '0');
}
