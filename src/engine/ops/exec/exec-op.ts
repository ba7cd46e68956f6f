/** Runs exec ops: RUN. */
import { opendirSync } from 'node:fs';
import type { ContainerEdits } from '../../../host/cdi/container-edits.ts';
import { editsOf } from '../../../host/cdi/devices.ts';
import { stepEnvironment } from '../../../host/runtime/environment.ts';
import { ExitError } from '../../../host/runtime/exit-error.ts';
import type { NetworkMode, StepMeta, StepResources } from '../../../host/runtime/step.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import {
  type ExecOp,
  type LinuxResources,
  type Meta,
  MountType,
  NetMode,
  SecurityMode,
} from '../../../wire/proto/gen/pb/ops_pb.ts';
import { DeviceError, findDevices } from '../devices.ts';
import type { FailedStep } from '../failed-step.ts';
import type { OpContext } from '../op-context.ts';
import { InvalidOpError } from '../op-key.ts';
import { type Ref, snapshotRef } from '../ref.ts';
import { canRun, findEmulator } from './emulator.ts';
import { ExecError } from './exec-error.ts';
import { type LogStream, logLimits, logStream } from './log-stream.ts';
import { MissingSecretError, prepareStepMounts, type StepMounts } from './step-mounts.ts';

/** An exec op with what is said of it outside of its key. */
export interface ExecRequest {
  readonly op: ExecOp;
  /** Normalised. */
  readonly platform: Platform;
  readonly resources: LinuxResources | undefined;
  /** Digest of the vertex, which logs name. */
  readonly vertex: string;
}

/**
 * Runs an exec op to its end; one result for each output. What the process prints goes to the event sink. Whatever happens,
 * mounts are gone and what was not committed is dropped when this returns.
 *
 * Throws {@link ExecError} when the process fails or cannot be started, `InvalidOpError`, `MissingSecretError`, `DeviceError`.
 */
export async function runExecOp(
  { op, platform, resources, vertex }: ExecRequest,
  inputs: readonly Ref[],
  context: OpContext,
  signal: AbortSignal,
): Promise<readonly Ref[]> {
  const { meta } = op;
  if (!meta) throw new InvalidOpError('invalid exec op with no meta');
  await using cleanup = new AsyncDisposableStack();
  const prepared = await prepareStepMounts(op, inputs, context, cleanup, signal);
  const { rootfs, readonlyRootFs, mounts, outputs } = prepared;
  tellCaches(op, prepared.places, vertex, context);
  const env = stepEnvironment({
    env: meta.env,
    secrets: await secretVariables(op, context, signal),
    ...(meta.proxyEnv && { proxy: meta.proxyEnv }),
  });
  const devices = await deviceEdits(op, context);
  const emulator = findEmulator(platform, context.platform, process.env);
  const { stdout, stderr } = outputStreams(vertex, context);
  try {
    await context.runtime.run({
      rootfs,
      meta: {
        ...stepMeta(meta, resources),
        args: [...(emulator?.args ?? []), ...meta.args],
        env,
        readonlyRootFs,
      },
      mounts: emulator ? [...mounts, emulator.mount] : mounts,
      ...(devices === undefined ? {} : { devices }),
      network: networkOf(op.network),
      security: op.security === SecurityMode.INSECURE ? 'insecure' : 'sandbox',
      stdout: chunk => stdout.write(chunk),
      stderr: chunk => stderr.write(chunk),
      signal,
    });
  } catch (cause) {
    stdout.flush();
    stderr.flush();
    // Aborted before there was a process.
    if (signal.aborted && !(cause instanceof ExitError)) throw cause;
    const isForeign = !emulator && !canRun(platform, context.platform);
    const step = context.keepsFailures ? await failedStep(op, inputs, prepared, signal) : undefined;
    throw new ExecError(meta.args, cause, isForeign ? platform : undefined, step);
  }
  const results: Ref[] = [];
  for (const output of outputs) {
    if ('ref' in output) results.push(output.ref);
    else results.push(snapshotRef([...output.below, await output.active.commit(signal)]));
  }
  return results;
}

/** Makes layers of what a failed step wrote; undefined for one that was stopped. */
async function failedStep(
  { mounts }: ExecOp,
  inputs: readonly Ref[],
  { trees }: StepMounts,
  signal: AbortSignal,
): Promise<FailedStep | undefined> {
  if (signal.aborted) return undefined;
  const left: (Ref | undefined)[] = [];
  for (const tree of trees) {
    if (tree === undefined || 'ref' in tree) left.push(tree?.ref);
    else left.push(snapshotRef([...tree.below, await tree.active.commit(signal)]));
  }
  return { inputs: mounts.map(({ input }) => (input < 0n ? undefined : inputs[Number(input)])), mounts: left };
}

function outputStreams(
  vertex: string,
  { emit, now }: Pick<OpContext, 'emit' | 'now'>,
): { readonly stdout: LogStream; readonly stderr: LogStream } {
  const limits = logLimits(process.env);
  const start = performance.now();
  const stream = (number: 1 | 2) =>
    logStream(
      limits,
      () => (performance.now() - start) / 1000,
      data => emit({ kind: 'log', vertex, stream: number, data, timestamp: now() }),
    );
  return { stdout: stream(1), stderr: stream(2) };
}

async function secretVariables(
  op: ExecOp,
  { secrets }: Pick<OpContext, 'secrets'>,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly value: string }[]> {
  const variables: { readonly name: string; readonly value: string }[] = [];
  for (const { ID, name, optional } of op.secretenv) {
    if (ID === '') throw new InvalidOpError(`secret ID missing for "${name}" environment variable`);
    const data = await secrets.get(ID, signal);
    if (!data && !optional) throw new MissingSecretError(`secret ${ID}: not found`);
    variables.push({ name, value: data ? Buffer.from(data).toString('utf8') : '' });
  }
  return variables;
}

async function deviceEdits(
  { cdiDevices }: ExecOp,
  { devices }: Pick<OpContext, 'devices'>,
): Promise<ContainerEdits | undefined> {
  if (cdiDevices.length === 0) return undefined;
  try {
    const found = findDevices(await devices.read(), cdiDevices);
    return found.length === 0 ? undefined : editsOf(found);
  } catch (cause) {
    if (!(cause instanceof DeviceError)) throw cause;
    throw new DeviceError(`CDI device injection failed: ${cause.message}`, cause.hints);
  }
}

function stepMeta(meta: Meta, resources: LinuxResources | undefined): Omit<StepMeta, 'env' | 'args'> {
  return {
    cwd: meta.cwd,
    user: meta.user,
    ...(meta.hostname !== '' && { hostname: meta.hostname }),
    extraHosts: meta.extraHosts.map(({ Host, IP }) => ({ host: Host, ip: IP })),
    ulimits: meta.ulimit.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Number(Soft), hard: Number(Hard) })),
    ...(meta.cgroupParent !== '' && { cgroupParent: meta.cgroupParent }),
    ...(resources && { resources: stepResources(resources) }),
    ...(meta.validExitCodes.length > 0 && { validExitCodes: meta.validExitCodes }),
    removeMountStubsRecursive: meta.removeMountStubsRecursive,
  };
}

function stepResources(resources: LinuxResources): StepResources {
  return {
    memory: Number(resources.memory),
    memorySwap: Number(resources.memorySwap),
    cpuShares: Number(resources.cpuShares),
    cpuPeriod: Number(resources.cpuPeriod),
    cpuQuota: Number(resources.cpuQuota),
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
  };
}

function networkOf(mode: NetMode): NetworkMode {
  switch (mode) {
    case NetMode.HOST:
      return 'host';
    case NetMode.NONE:
      return 'none';
    default:
      return 'default';
  }
}

/** Says of each cache mount whether it holds anything: what is in it is no part of the key, and may change the result. */
function tellCaches(op: ExecOp, places: readonly (string | undefined)[], vertex: string, { emit }: OpContext): void {
  for (const [index, { mountType, dest, cacheOpt }] of op.mounts.entries()) {
    const place = places[index];
    if (mountType !== MountType.CACHE || place === undefined) continue;
    emit({ kind: 'cache-mount', vertex, id: cacheOpt?.ID ?? '', target: dest, isEmpty: isEmptyDirectory(place) });
  }
}

function isEmptyDirectory(path: string): boolean {
  const directory = opendirSync(path);
  try {
    return directory.readSync() === null;
  } finally {
    directory.closeSync();
  }
}
