/** The key of an exec op: its text with what does not change the result taken out (cache keys facts, 4). */
import { clone } from '@bufbuild/protobuf';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import {
  CDIDeviceSchema,
  type ExecOp,
  ExecOpSchema,
  type Mount,
  MountContentCache,
  MountSchema,
  MountType,
  NetMode,
  NetModeSchema,
  SecretEnvSchema,
  SecurityMode,
  SecurityModeSchema,
  UlimitSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import type { KeyPart } from '../status/event.ts';
import { absolutePath, absoluteSelector, dedupePaths, plainSelector } from './content-selector.ts';
import { messageJson } from './message-json.ts';
import { describeFields, type InputKey, InvalidOpError, type OpKey, opKey } from './op-key.ts';

/** Checks what every exec op needs. Throws {@link InvalidOpError}. */
function validateExec(op: ExecOp): void {
  if (!op.meta) throw new InvalidOpError('invalid exec op with no meta');
  if (op.meta.args.length === 0) throw new InvalidOpError('invalid exec op with no args');
  if (op.mounts.length === 0) throw new InvalidOpError('invalid exec op with no mounts');
  if (!op.mounts.some(mount => mount.dest === '/')) throw new InvalidOpError('invalid exec op with no rootfs');
}

/**
 * The key of an exec op with `inputs` inputs on a normalised platform. Throws {@link InvalidOpError}.
 */
export function execKey(op: ExecOp, inputs: number, platform: Platform): OpKey {
  validateExec(op);
  const keyed = keyedExec(op);
  const json =
    `{"Type":"buildkit.exec.v0","Exec":${messageJson(ExecOpSchema, keyed)}` +
    `,"OS":${goJson(platform.os)},"Arch":${goJson(platform.architecture)}` +
    (platform.variant ? `,"Variant":${goJson(platform.variant)}` : '') +
    (platform['os.version'] ? `,"OSVersion":${goJson(platform['os.version'])}` : '') +
    (platform['os.features']?.length ? `,"OSFeatures":${goJson(platform['os.features'])}` : '') +
    '}';
  return opKey(json, execParts(keyed, platform), mountDeps(op, inputs));
}

/** The op as it is hashed. */
function keyedExec(op: ExecOp): ExecOp {
  const keyed = clone(ExecOpSchema, op);
  if (keyed.meta) {
    delete keyed.meta.proxyEnv;
    for (const host of keyed.meta.extraHosts) host.IP = '';
  }
  for (const mount of keyed.mounts) {
    mount.selector = '';
    if (mount.cacheOpt && !isDefaultCache(mount)) {
      mount.cacheOpt.ID = '';
      mount.cacheOpt.sharing = 0;
    }
  }
  if (isPlainRoot(keyed.mounts)) keyed.mounts = [];
  return keyed;
}

/** A shared cache whose id is its target, or `<namespace>/<target>`: what a Dockerfile without `id=` asks for. */
function isDefaultCache(mount: Mount): boolean {
  const cache = mount.cacheOpt;
  if (cache?.sharing !== 0) return false;
  const slash = cache.ID.indexOf('/');
  return cache.ID === mount.dest || (slash >= 0 && cache.ID.slice(slash + 1) === mount.dest);
}

/** One writable root mount; it is left out of the text for the sake of caches from before mounts were in it. */
function isPlainRoot(mounts: readonly Mount[]): boolean {
  const [root] = mounts;
  return (
    mounts.length === 1 &&
    root?.dest === '/' &&
    !root.readonly &&
    root.mountType === MountType.BIND &&
    !root.cacheOpt &&
    !root.SSHOpt &&
    !root.secretOpt &&
    root.resultID === ''
  );
}

interface MountDep {
  readonly paths: string[];
  content: boolean;
}

function mountDeps(op: ExecOp, inputs: number): InputKey[] {
  const deps = Array.from({ length: inputs }, (): MountDep => ({ paths: [], content: false }));
  for (const mount of op.mounts) {
    const { SECRET, SSH, TMPFS } = MountType;
    if (mount.mountType === SECRET || mount.mountType === SSH || mount.mountType === TMPFS) continue;
    if (mount.input === -1n) continue;
    const dep = deps[Number(mount.input)];
    if (!dep) throw new InvalidOpError(`invalid mountinput ${mountText(mount)}`);
    const path = absolutePath(mount.selector);
    dep.paths.push(path);
    dep.content = usesContent(mount, path);
  }
  return deps.map(({ paths, content }): InputKey => {
    if (paths.length === 0) return { selector: '', selectorPaths: [], unlazy: true };
    const unique = dedupePaths(paths);
    return {
      selector: digestOf(paths.join('\0')),
      selectorPaths: paths,
      ...(content && {
        content: unique.includes('/') ? [] : unique.map(path => absoluteSelector(plainSelector(path, true))),
      }),
      unlazy: true,
    };
  });
}

/**
 * Whether a mount's input may count by its content. It may not when files outside the selected path could reach a result:
 * they would not be in the key.
 */
function usesContent(mount: Mount, path: string): boolean {
  const safe = mount.output === -1n || mount.readonly || path === '/';
  switch (mount.contentCache) {
    case MountContentCache.OFF:
      return false;
    case MountContentCache.ON:
      if (!safe) throw new InvalidOpError(`invalid mount cache content ${mountText(mount)}`);
      return true;
    default:
      return safe && mount.dest !== '/';
  }
}

function mountText(mount: Mount): string {
  const fields = [
    mount.input !== 0n && `input:${mount.input}`,
    mount.selector !== '' && `selector:${JSON.stringify(mount.selector)}`,
    `dest:${JSON.stringify(mount.dest)}`,
    mount.output !== 0n && `output:${mount.output}`,
    mount.readonly && 'readonly:true',
  ];
  return fields.filter(field => field !== false).join(' ');
}

function execParts(op: ExecOp, platform: Platform): KeyPart[] {
  const parts: KeyPart[] = [];
  const add = (kind: string, name: string, value: string) => parts.push({ kind, name, value });
  const meta = op.meta;
  if (meta) {
    const shell = meta.args.length === 3 && meta.args[1] === '-c';
    add('args', '', shell ? meta.args.join(' ') : JSON.stringify(meta.args));
    for (const variable of meta.env) {
      const equals = variable.indexOf('=');
      if (equals < 0) add('env', variable, '');
      else add('env', variable.slice(0, equals), variable.slice(equals + 1));
    }
    add('cwd', '', meta.cwd);
    if (meta.user !== '') add('user', '', meta.user);
    for (const host of meta.extraHosts) add('extraHost', host.Host, '');
    if (meta.hostname !== '') add('hostname', '', meta.hostname);
    for (const limit of meta.ulimit) add('ulimit', limit.Name, describeFields(UlimitSchema, limit, ['Name']));
    if (meta.cgroupParent !== '') add('cgroupParent', '', meta.cgroupParent);
    if (meta.removeMountStubsRecursive) add('removeMountStubsRecursive', '', 'true');
    if (meta.validExitCodes.length > 0) add('validExitCodes', '', meta.validExitCodes.join(' '));
  }
  for (const mount of op.mounts) add('mount', mount.dest, describeFields(MountSchema, mount, ['dest']));
  if (op.network !== NetMode.UNSET) add('network', '', NetModeSchema.value[op.network]?.name ?? String(op.network));
  if (op.security !== SecurityMode.SANDBOX)
    add('security', '', SecurityModeSchema.value[op.security]?.name ?? String(op.security));
  for (const secret of op.secretenv) add('secretEnv', secret.name, describeFields(SecretEnvSchema, secret, ['name']));
  for (const device of op.cdiDevices) add('device', device.name, describeFields(CDIDeviceSchema, device, ['name']));
  add('platform', '', platformText(platform));
  return parts;
}

function platformText(platform: Platform): string {
  const name = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
  return [name, platform['os.version'], ...(platform['os.features'] ?? [])].filter(Boolean).join(' ');
}
