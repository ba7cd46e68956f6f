import { create } from '@bufbuild/protobuf';
import { ExecError } from '../../../engine/ops/exec/exec-error.ts';
import { prepareStepMounts, type StepMounts } from '../../../engine/ops/exec/step-mounts.ts';
import type { Ref } from '../../../engine/ops/ref.ts';
import type { ProcessControl } from '../../../host/runtime/container.ts';
import { stepEnvironment } from '../../../host/runtime/environment.ts';
import { ExitError } from '../../../host/runtime/exit-error.ts';
import type { StepControl, StepInteraction } from '../../../host/runtime/runtime.ts';
import type { NetworkMode, StepMeta } from '../../../host/runtime/step.ts';
import type { FileTree } from '../../../store/snapshot/file-tree.ts';
import { directoryTree } from '../../../store/snapshot/file-tree-directory.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type { InitMessage, NewContainerRequest } from '../../../wire/proto/gen/control/gateway_pb.ts';
import { ExecOpSchema, MetaSchema, MountType, NetMode, SecurityMode } from '../../../wire/proto/gen/pb/ops_pb.ts';
import type { ClientBuild } from '../client-build.ts';
import type { ResultRef } from '../frontend-result.ts';

/** A process to run in a container. */
interface ContainerProcess {
  readonly init: InitMessage;
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  readonly stdout: (chunk: Uint8Array) => void;
  readonly stderr: (chunk: Uint8Array) => void;
  /** Told once it is sure to be run: a frontend must not wait for one process to begin while another one ends. */
  readonly onTaken: () => void;
  readonly onStarted: (control: ProcessControl) => void;
}

/** The containers of one frontend. Disposing ends what runs in them. */
export interface Containers extends AsyncDisposable {
  /** Makes a container; nothing runs in it yet. Rejects with StatusError. */
  open(request: NewContainerRequest, signal: AbortSignal): Promise<void>;
  /** Runs a process: the first of a container is the container, others run beside it. Rejects with its failure. */
  run(id: string, process: ContainerProcess, signal: AbortSignal): Promise<void>;
  /** Ends all that runs in a container. Rejects with the first failure of its processes. */
  release(id: string): Promise<void>;
  /** The files of a mount of a container. Throws StatusError. */
  files(id: string, mount: number): FileTree;
}

interface Container {
  readonly request: NewContainerRequest;
  readonly mounts: StepMounts;
  readonly cleanup: AsyncDisposableStack;
  readonly end: AbortController;
  readonly processes: Set<Promise<unknown>>;
  /** Settles once the first process runs; undefined before one was asked for. */
  first: Promise<StepControl> | undefined;
  failure: unknown;
}

/** @param find gives the result that an id names */
export function createContainers(build: ClientBuild, find: (id: string) => ResultRef | undefined): Containers {
  const containers = new Map<string, Container>();
  const { context } = build.scope;

  function containerOf(id: string): Container {
    const container = containers.get(id);
    if (container === undefined)
      throw new StatusError(Code.notFound, `container ${JSON.stringify(id)} previously released or not created`);
    return container;
  }

  async function inputsOf({ Mounts: mounts }: NewContainerRequest, signal: AbortSignal) {
    const inputs: Ref[] = [];
    const prepared = [];
    for (const mount of mounts) {
      let input = -1n;
      if (mount.resultID !== '') {
        const ref = find(mount.resultID);
        if (ref === undefined) {
          throw new StatusError(
            Code.unknown,
            `failed to find ref ${mount.resultID} for ${JSON.stringify(mount.dest)} mount: return reference ${mount.resultID} not found`,
          );
        }
        input = BigInt(inputs.length);
        inputs.push((await ref.solve(signal)).result);
      }
      if (mount.dest === '/' && mount.mountType !== MountType.BIND)
        throw new StatusError(Code.unknown, `invalid mount type ${nameOfType(mount.mountType)} for /`);
      const { $typeName: _type, $unknown: _rest, ...plain } = mount;
      prepared.push({ ...plain, input, output: -1n });
    }
    return { inputs, mounts: prepared };
  }

  async function runFirst(
    container: Container,
    process: ContainerProcess,
    meta: StepMeta,
    signal: AbortSignal,
  ): Promise<void> {
    const { request, mounts } = container;
    const started = Promise.withResolvers<StepControl>();
    started.promise.catch(() => undefined);
    container.first = started.promise;
    const hosts = request.extraHosts.map(({ Host, IP }) => ({ host: Host, ip: IP }));
    try {
      await context.runtime.run({
        rootfs: mounts.rootfs,
        meta: {
          ...meta,
          readonlyRootFs: mounts.readonlyRootFs,
          ...(request.hostname === '' ? {} : { hostname: request.hostname }),
          extraHosts: [...hosts, ...(meta.extraHosts ?? [])],
        },
        mounts: mounts.mounts,
        network: networkOf(request.Network),
        security: securityOf(process.init),
        stdout: process.stdout,
        stderr: process.stderr,
        signal,
        interaction: interactionOf(process, control => {
          started.resolve(control);
          process.onStarted(control);
        }),
      });
    } catch (error) {
      started.reject(error);
      throw error;
    }
    started.reject(new StatusError(Code.unknown, 'the container has ended'));
  }

  async function runProcess(container: Container, process: ContainerProcess, signal: AbortSignal): Promise<void> {
    const meta = await metaOf(build, process.init, container.request.platform?.OS, signal);
    if (container.first === undefined) return runFirst(container, process, meta, signal);
    const control = await container.first;
    process.onTaken();
    await control.exec({
      meta,
      security: securityOf(process.init),
      stdout: process.stdout,
      stderr: process.stderr,
      signal,
      interaction: interactionOf(process, process.onStarted),
    });
  }

  return {
    async open(request, signal) {
      const { ContainerID: id } = request;
      if (containers.has(id)) throw new StatusError(Code.alreadyExists, `Container ${id} already exists`);
      checkNetwork(build, request.Network);
      const { inputs, mounts } = await inputsOf(request, signal);
      const op = create(ExecOpSchema, { mounts, meta: create(MetaSchema, { cwd: '/' }) });
      const cleanup = new AsyncDisposableStack();
      try {
        const prepared = await prepareStepMounts(op, inputs, context, cleanup, signal);
        containers.set(id, {
          request,
          mounts: prepared,
          cleanup,
          end: new AbortController(),
          processes: new Set(),
          first: undefined,
          failure: undefined,
        });
      } catch (error) {
        await cleanup.disposeAsync();
        throw error;
      }
    },

    async run(id, process, signal) {
      const container = containerOf(id);
      checkSecurity(build, process.init);
      const either = AbortSignal.any([signal, container.end.signal]);
      const running = runProcess(container, process, either).catch(error => {
        // The runtime's own words for what has ended under it say nothing of the process.
        container.end.signal.throwIfAborted();
        throw error;
      });
      const ended = running.catch(error => {
        container.failure ??= error;
      });
      container.processes.add(ended);
      try {
        await running;
      } finally {
        container.processes.delete(ended);
      }
    },

    async release(id) {
      const container = containers.get(id);
      if (container === undefined) throw new StatusError(Code.unknown, `container details for ${id} not found`);
      containers.delete(id);
      container.end.abort(new StatusError(Code.canceled, 'context canceled'));
      await Promise.all(container.processes);
      await container.cleanup.disposeAsync();
      if (container.failure !== undefined) throw container.failure;
    },

    files(id, mount) {
      const container = containers.get(id);
      if (container === undefined)
        throw new StatusError(Code.unknown, `container details for ${id}@${mount} not found`);
      const { places } = container.mounts;
      if (mount < 0 || mount >= places.length) {
        throw new StatusError(Code.unknown, `mount index ${mount} is out of bounds (${places.length} available)`);
      }
      const place = places[mount];
      if (place === undefined) throw new StatusError(Code.unknown, `mount ${mount} has no files`);
      return directoryTree(place);
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([...containers.keys()].map(id => this.release(id).catch(() => undefined)));
    },
  };
}

/** How a process failed, as its frontend is told: its exit code, 255 when there is none. */
export function exitCodeOf(error: unknown): number {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ExitError) return cause.exitCode;
    if (cause instanceof ExecError && cause.exitCode !== undefined) return cause.exitCode;
  }
  return 255;
}

async function metaOf(
  build: ClientBuild,
  init: InitMessage,
  os: string | undefined,
  signal: AbortSignal,
): Promise<StepMeta> {
  const { Meta: meta, Tty: tty, secretenv } = init;
  if (meta === undefined || meta.args.length === 0)
    throw new StatusError(Code.invalidArgument, 'the process has no command');
  const secrets: { readonly name: string; readonly value: string }[] = [];
  for (const { ID, name, optional } of secretenv) {
    if (ID === '')
      throw new StatusError(Code.unknown, `secret ID missing for ${JSON.stringify(name)} environment variable`);
    const data = await build.scope.context.secrets.get(ID, signal);
    if (data === undefined && !optional) throw new StatusError(Code.unknown, `secret ${ID}: not found`);
    if (data !== undefined) secrets.push({ name, value: Buffer.from(data).toString() });
  }
  const hasTerm = meta.env.some(entry => entry.startsWith('TERM='));
  const env = tty && !hasTerm ? [...meta.env, 'TERM=xterm'] : meta.env;
  return {
    args: meta.args,
    env: stepEnvironment({ env, secrets, os: os ?? '', ...(meta.proxyEnv && { proxy: meta.proxyEnv }) }),
    cwd: meta.cwd === '' ? '/' : meta.cwd,
    user: meta.user,
    ulimits: meta.ulimit.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Number(Soft), hard: Number(Hard) })),
    extraHosts: meta.extraHosts.map(({ Host, IP }) => ({ host: Host, ip: IP })),
    removeMountStubsRecursive: meta.removeMountStubsRecursive,
    ...(meta.hostname === '' ? {} : { hostname: meta.hostname }),
    ...(meta.cgroupParent === '' ? {} : { cgroupParent: meta.cgroupParent }),
    ...(meta.validExitCodes.length === 0 ? {} : { validExitCodes: meta.validExitCodes }),
  };
}

function interactionOf<Control extends ProcessControl>(
  { init, stdin }: ContainerProcess,
  onStarted: (control: Control) => void,
): Omit<StepInteraction, 'onStarted'> & { readonly onStarted: (control: Control) => void } {
  return { terminal: init.Tty, onStarted, ...(stdin === undefined ? {} : { stdin }) };
}

function nameOfType(type: MountType): string {
  return Object.entries(MountType).find(([, value]) => value === type)?.[0] ?? String(type);
}

function networkOf(mode: NetMode): NetworkMode {
  if (mode === NetMode.HOST) return 'host';
  return mode === NetMode.NONE ? 'none' : 'default';
}

function securityOf({ Security: security }: InitMessage): 'sandbox' | 'insecure' {
  return security === SecurityMode.INSECURE ? 'insecure' : 'sandbox';
}

function checkNetwork({ request }: ClientBuild, mode: NetMode): void {
  if (mode === NetMode.HOST && !request.entitlements.has('network.host'))
    throw new StatusError(Code.unknown, 'network.host is not allowed');
}

function checkSecurity({ request }: ClientBuild, init: InitMessage): void {
  const { Security: mode } = init;
  if (mode !== SecurityMode.INSECURE && mode !== SecurityMode.SANDBOX)
    throw new StatusError(Code.unknown, `invalid security mode ${Number(mode)}`);
  if (securityOf(init) === 'insecure' && !request.entitlements.has('security.insecure'))
    throw new StatusError(Code.unknown, 'security.insecure is not allowed');
}
