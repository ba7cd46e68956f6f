import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Platform } from '../../wire/oci/descriptor.ts';
import {
  CacheSharingOpt,
  type CDIDeviceSchema,
  type Input,
  type MetaSchema,
  MountContentCache,
  type Mount as MountMessage,
  MountSchema,
  MountType,
  NetMode,
  SecurityMode,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { MarshalError } from './marshal.ts';
import { makeOp } from './op.ts';
import { compareBytewise } from './order.ts';
import type { Edge, EncodeContext, Vertex, VertexOptions } from './vertex.ts';

const NONE = -1n;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a process is run with. */
export interface ExecSpec {
  readonly args: readonly string[];
  /** `K=V`, in the order in which they were last set. */
  readonly env?: readonly string[];
  readonly cwd: string;
  /** `user[:group]` by name or id. */
  readonly user?: string;
  readonly hostname?: string;
  readonly extraHosts?: readonly ExtraHost[];
  readonly ulimits?: readonly Ulimit[];
  readonly cgroupParent?: string;
  readonly proxy?: ProxyEnv;
  readonly validExitCodes?: readonly number[];
  readonly network?: 'sandbox' | 'host' | 'none';
  readonly security?: 'sandbox' | 'insecure';
  readonly devices?: readonly Device[];
  /** The root filesystem. */
  readonly root: Edge | undefined;
  readonly readonlyRoot?: boolean;
  /** The platform of the state that the process runs on, if it has one. */
  readonly basePlatform?: Platform;
  readonly mounts?: readonly Mount[];
  readonly secrets?: readonly Secret[];
  readonly ssh?: readonly Ssh[];
}

/** A line of `/etc/hosts`; the address in its canonical form. */
export interface ExtraHost {
  readonly host: string;
  readonly ip: string;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** Proxies that the process sees in its environment; no part of its cache key. */
export interface ProxyEnv {
  readonly http?: string;
  readonly https?: string;
  readonly ftp?: string;
  readonly no?: string;
  readonly all?: string;
}

/** A CDI device. */
export interface Device {
  readonly name: string;
  readonly optional?: boolean;
}

/** Something mounted besides the root. Without a source it is scratch. */
export interface Mount {
  readonly dest: string;
  readonly source?: Edge | undefined;
  /** The path inside the source. */
  readonly selector?: string;
  readonly readonly?: boolean;
  /** The process may write, but nobody reads the result. */
  readonly noOutput?: boolean;
  readonly cache?: { readonly id: string; readonly sharing?: 'shared' | 'private' | 'locked' };
  /** Memory; `size` is in bytes. */
  readonly tmpfs?: { readonly size?: bigint };
  /** Whether the cache key looks at the files instead of where they come from. */
  readonly contentCache?: 'on' | 'off';
}

/** A secret of the client as a file, as a variable, or both. */
export interface Secret {
  readonly id: string;
  readonly dest?: string;
  readonly env?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly optional?: boolean;
}

/** A socket of the client's ssh agent. */
export interface Ssh {
  readonly id?: string;
  readonly dest?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly optional?: boolean;
}

/** What a run leaves: its root, and each further mount by its place in the list of mounts. */
export interface ExecResult {
  readonly vertex: Vertex;
  readonly root: Edge | undefined;
  readonly mounts: readonly (Edge | undefined)[];
}

interface PlacedMount extends Mount {
  readonly output: number | undefined;
}

/** A step that runs a process. */
export function execVertex(spec: ExecSpec, options: VertexOptions = {}): ExecResult {
  const root: Mount = { dest: '/', source: spec.root, readonly: spec.readonlyRoot ?? false };
  const unsorted = [root, ...(spec.mounts ?? [])];
  const destOf = (place: number) => unsorted[place]?.dest ?? '';
  let outputs = 0;
  const placed = new Map<number, PlacedMount>();
  const order = unsorted.map((_, place) => place).sort((a, b) => compareBytewise(destOf(a), destOf(b)));
  for (const place of order) {
    const mount = unsorted[place] ?? root;
    const kept = !mount.readonly && !mount.noOutput && mount.cache === undefined && mount.tmpfs === undefined;
    placed.set(place, { ...mount, output: kept ? outputs++ : undefined });
  }
  const mounts = [...placed.values()];
  const vertex: Vertex = {
    inputs: () => mounts.flatMap(mount => mount.source ?? []),
    encode: context => encodeExec(context, spec, mounts, options),
  };
  // What a step leaves of a mount that it cannot write is what was mounted.
  const [rootEdge, ...others] = unsorted.map((mount, place): Edge | undefined => {
    const output = placed.get(place)?.output;
    return output === undefined ? mount.source : { vertex, output };
  });
  return { vertex, root: rootEdge, mounts: others };
}

function encodeExec(context: EncodeContext, spec: ExecSpec, mounts: readonly PlacedMount[], options: VertexOptions) {
  if (spec.args.length === 0) throw new MarshalError('arguments are required');
  const capabilities = new Set(['exec.meta.base']);
  const need = (capability: string, when: boolean) => {
    if (when) capabilities.add(capability);
  };
  const ssh = (spec.ssh ?? []).map((one, i) => ({ ...one, dest: one.dest || `/run/buildkit/ssh_agent.${i}` }));
  const inputs: Input[] = [];
  const messages = mounts.map(mount => mountMessage(mount, indexOfInput(context, inputs, mount.source)));
  const secrets = spec.secrets ?? [];
  const network = { sandbox: NetMode.UNSET, host: NetMode.HOST, none: NetMode.NONE }[spec.network ?? 'sandbox'];
  const security = spec.security === 'insecure' ? SecurityMode.INSECURE : SecurityMode.SANDBOX;

  const platform = options.platform ?? spec.basePlatform ?? context.platform;
  const env = withSshSocket(spec.env ?? [], ssh[0]?.dest);
  const setsDefaultPath = context.supports?.('exec.meta.setsdefaultpath') ?? true;
  need('exec.meta.setsdefaultpath', context.supports !== undefined && setsDefaultPath);
  need('exec.meta.network', network !== NetMode.UNSET);
  need('exec.meta.security', security === SecurityMode.INSECURE);
  need('exec.meta.proxyenv', spec.proxy !== undefined);
  need('exec.meta.ulimit', Boolean(spec.ulimits?.length));
  need('exec.meta.cdi', Boolean(spec.devices?.length));
  need('exec.meta.linux.resources', options.linuxResources !== undefined);
  need('exec.validexitcode', spec.validExitCodes !== undefined);
  need('exec.mount.secret', secrets.length > 0);
  need(
    'exec.secretenv',
    secrets.some(secret => secret.env !== undefined),
  );
  need('exec.mount.ssh', ssh.length > 0);
  for (const mount of mounts) {
    need('exec.mount.selector', Boolean(mount.selector));
    if (mount.cache !== undefined) {
      need('exec.mount.cache', true);
      need('exec.mount.cache.sharing', true);
    } else if (mount.tmpfs !== undefined) {
      need('exec.mount.tmpfs', true);
      need('exec.mount.tmpfs.size', Boolean(mount.tmpfs.size));
    } else {
      need('exec.mount.bind', mount.source !== undefined);
    }
    need('exec.mount.cache.content', mount.contentCache !== undefined);
  }

  const op = makeOp(
    context,
    options,
    'with platform',
    {
      inputs,
      op: {
        case: 'exec',
        value: {
          meta: metaMessage(spec, setsDefaultPath ? env : withDefaultPath(env, platform.os)),
          mounts: [...messages, ...secrets.flatMap(secretMessage), ...ssh.map(sshMessage)],
          network,
          security,
          secretenv: secrets.flatMap(({ id, env: name, optional = false }) =>
            name === undefined ? [] : { ID: id, name, optional },
          ),
          cdiDevices: (spec.devices ?? []).map(deviceMessage),
        },
      },
    },
    spec.basePlatform,
  );
  return { op, capabilities: [...capabilities], options };
}

/** The index of an edge among the inputs, which it joins if it is new; equal edges share one. */
export function indexOfInput(context: EncodeContext, inputs: Input[], edge: Edge | undefined): bigint {
  if (edge === undefined) return NONE;
  const input = context.input(edge);
  const known = inputs.findIndex(other => other.digest === input.digest && other.index === input.index);
  return BigInt(known >= 0 ? known : inputs.push(input) - 1);
}

function metaMessage(spec: ExecSpec, env: readonly string[]): MessageInitShape<typeof MetaSchema> {
  const { proxy } = spec;
  return {
    args: [...spec.args],
    env: [...env],
    cwd: spec.cwd,
    user: spec.user ?? '',
    ...(proxy === undefined
      ? {}
      : {
          proxyEnv: {
            httpProxy: proxy.http ?? '',
            httpsProxy: proxy.https ?? '',
            ftpProxy: proxy.ftp ?? '',
            noProxy: proxy.no ?? '',
            allProxy: proxy.all ?? '',
          },
        }),
    extraHosts: (spec.extraHosts ?? []).map(({ host, ip }) => ({ Host: host, IP: ip })),
    hostname: spec.hostname ?? '',
    ulimit: (spec.ulimits ?? []).map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    cgroupParent: spec.cgroupParent ?? '',
    removeMountStubsRecursive: true,
    validExitCodes: [...(spec.validExitCodes ?? [])],
  };
}

function mountMessage(mount: PlacedMount, input: bigint): MountMessage {
  const { cache, tmpfs, contentCache } = mount;
  const sharing = { shared: CacheSharingOpt.SHARED, private: CacheSharingOpt.PRIVATE, locked: CacheSharingOpt.LOCKED };
  const content = { on: MountContentCache.ON, off: MountContentCache.OFF };
  return create(MountSchema, {
    input,
    selector: mount.selector ?? '',
    dest: mount.dest,
    output: mount.output === undefined ? NONE : BigInt(mount.output),
    readonly: mount.readonly ?? false,
    mountType: cache !== undefined ? MountType.CACHE : tmpfs !== undefined ? MountType.TMPFS : MountType.BIND,
    ...(cache === undefined ? {} : { cacheOpt: { ID: cache.id, sharing: sharing[cache.sharing ?? 'shared'] } }),
    ...(tmpfs === undefined ? {} : { TmpfsOpt: { size: tmpfs.size ?? 0n } }),
    contentCache: contentCache === undefined ? MountContentCache.DEFAULT : content[contentCache],
  });
}

function secretMessage({ id, dest, uid = 0, gid = 0, mode = 0o400, optional = false }: Secret): MountMessage[] {
  if (dest === undefined) return [];
  const secretOpt = { ID: id, uid, gid, mode, optional };
  return [create(MountSchema, { input: NONE, dest, mountType: MountType.SECRET, secretOpt })];
}

function sshMessage({
  id = '',
  dest,
  uid = 0,
  gid = 0,
  mode = 0o600,
  optional = false,
}: Ssh & { dest: string }): MountMessage {
  const SSHOpt = { ID: id, uid, gid, mode, optional };
  return create(MountSchema, { input: NONE, dest, mountType: MountType.SSH, SSHOpt });
}

function deviceMessage({ name, optional = false }: Device): MessageInitShape<typeof CDIDeviceSchema> {
  return { name, optional };
}

function withSshSocket(env: readonly string[], socket: string | undefined): readonly string[] {
  if (socket === undefined || env.some(entry => entry.startsWith('SSH_AUTH_SOCK='))) return env;
  return [...env, `SSH_AUTH_SOCK=${socket}`];
}

function withDefaultPath(env: readonly string[], os: string): readonly string[] {
  if (os === 'windows' || env.some(entry => entry.startsWith('PATH='))) return env;
  return [...env, `PATH=${DEFAULT_PATH}`];
}
