import { stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, resolve } from 'node:path';
import { DeviceGrantError, readDeviceGrant } from '../../engine/ops/devices.ts';
import { loadDockerConfig } from '../../host/config/docker-config.ts';
import type { BuildRequest, BuildSource, CacheRequest, DockerfileSource } from '../builder/request.ts';
import {
  checkTag,
  parseAddHosts,
  parseCache,
  parseKeyValues,
  parseLabels,
  parseNamedContexts,
  parseSecret,
  parseSsh,
  parseUlimit,
} from './build-flags.ts';
import { didYouMean, UsageError } from './errors.ts';
import { parseOutputs } from './output-flag.ts';
import { proxyArguments } from './proxy-arguments.ts';
import { isTar, readStandardInput, unpackContext } from './stdin-context.ts';
import { parseBytes, parseDuration } from './units.ts';

/** The flags of `outcrop build` as commander hands them over. */
export interface BuildFlags {
  readonly file?: string;
  readonly target?: string;
  readonly buildArg: readonly string[];
  readonly buildContext: readonly string[];
  readonly platform: readonly string[];
  readonly label: readonly string[];
  readonly annotation: readonly string[];
  readonly secret: readonly string[];
  readonly ssh: readonly string[];
  readonly allow: readonly string[];
  readonly call: string;
  readonly check?: boolean;
  readonly tag: readonly string[];
  readonly output: readonly string[];
  readonly push?: boolean;
  readonly load?: boolean;
  readonly iidfile?: string;
  readonly metadataFile?: string;
  readonly provenance?: string;
  readonly sbom?: string;
  readonly attest: readonly string[];
  readonly cache: boolean;
  readonly noCacheFilter: readonly string[];
  readonly pull?: boolean;
  readonly coldMounts?: true;
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly cacheMaxAge?: string;
  readonly network: string;
  readonly addHost: readonly string[];
  readonly shmSize?: string;
  readonly ulimit: readonly string[];
  readonly cgroupParent?: string;
  readonly parallel?: string;
  readonly builder?: readonly string[];
  readonly progress: string;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  readonly why?: boolean;
  readonly whyFile?: string;
  readonly failOn?: readonly string[];
}

const NETWORKS = ['default', 'host', 'none', 'sandbox'];
const ENTITLEMENTS = ['network.host', 'security.insecure', 'device'];

/** Only devices are named further. @throws UsageError */
function entitlementName(entitlement: string): string {
  try {
    return readDeviceGrant(entitlement) === undefined ? entitlement : 'device';
  } catch (cause) {
    if (cause instanceof DeviceGrantError) throw new UsageError(`--allow ${entitlement}: ${cause.message}`);
    throw cause;
  }
}

/**
 * The build that a command line asks for, with standard input read where it stands for the context or the Dockerfile.
 * @throws UsageError for flags that cannot be obeyed.
 */
export async function buildRequest(path: string, flags: BuildFlags): Promise<BuildRequest> {
  if (!NETWORKS.includes(flags.network)) {
    throw new UsageError(
      `--network ${flags.network}: unknown mode${didYouMean(flags.network, NETWORKS)}; one of default, host, none`,
    );
  }
  for (const entitlement of flags.allow) {
    const name = entitlementName(entitlement);
    if (!ENTITLEMENTS.includes(name)) {
      throw new UsageError(
        `--allow ${entitlement}: unknown entitlement${didYouMean(name, ENTITLEMENTS)}; one of ${ENTITLEMENTS.join(', ')}`,
      );
    }
  }
  const tags = flags.tag.flatMap(tag => tag.split(',')).map(checkTag);
  const { context, dockerfile } = await sources(path, flags.file);
  const attests = attestations(flags);
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  const cacheTo = flags.cacheTo.flatMap(value => parseCache(value, '--cache-to'));
  if (flags.coldMounts && cacheTo.some(({ attributes }) => attributes['mounts'] === 'true'))
    throw new UsageError('--cold-mounts keeps no cache mounts that --cache-to …,mounts=true could export');
  return {
    context,
    dockerfile,
    namedContexts: parseNamedContexts(flags.buildContext),
    ...(flags.target === undefined ? {} : { target: flags.target }),
    buildArgs: await withProxies(parseKeyValues(flags.buildArg, '--build-arg', process.env)),
    labels: parseLabels(flags.label),
    attests,
    platforms: (flags.platform.length > 0 ? flags.platform : [process.env['DOCKER_DEFAULT_PLATFORM'] ?? ''])
      .flatMap(list => list.split(','))
      .filter(platform => platform !== '' && platform !== 'local'),
    tags,
    outputs: await parseOutputs(flags.output, {
      push: flags.push ?? false,
      load: flags.load ?? false,
      tags,
      annotations: flags.annotation,
    }),
    noCache: flags.cache ? flags.noCacheFilter.flatMap(list => list.split(',')).filter(stage => stage !== '') : 'all',
    pull: flags.pull ?? false,
    ...(flags.coldMounts ? { coldMounts: true } : {}),
    ...(flags.network === 'default' ? {} : { network: flags.network }),
    addHosts: flags.addHost.flatMap(parseAddHosts),
    ...(flags.shmSize === undefined ? {} : { shmSize: parseBytes(flags.shmSize, '--shm-size') }),
    ulimits: flags.ulimit.map(parseUlimit),
    ...(flags.cgroupParent === undefined ? {} : { cgroupParent: flags.cgroupParent }),
    secrets: flags.secret.map(secret => parseSecret(secret, process.env)),
    ssh: flags.ssh.map(parseSsh),
    allow: flags.allow,
    cacheFrom: flags.cacheFrom
      .flatMap(value => parseCache(value, '--cache-from'))
      .map(cache => aged(cache, flags.cacheMaxAge)),
    cacheTo,
    metadata: flags.metadataFile !== undefined,
    ...(epoch === undefined || epoch === '' ? {} : { sourceDateEpoch: epoch }),
  };
}

/** A configuration that cannot be read matters when a registry is asked, and is told then. */
async function withProxies(buildArgs: ReadonlyMap<string, string>): Promise<Map<string, string>> {
  const config = await loadDockerConfig(process.env).catch(() => undefined);
  return new Map([...buildArgs, ...(config ? proxyArguments(config, buildArgs, process.env) : [])]);
}

/** A source whose results are not used beyond an age, unless it says so itself. */
function aged({ type, attributes }: CacheRequest, maxAge: string | undefined): CacheRequest {
  if (maxAge === undefined || attributes['max-age'] !== undefined) return { type, attributes };
  return { type, attributes: { ...attributes, 'max-age': `${parseDuration(maxAge, '--cache-max-age')}ms` } };
}

/** `type` → attributes of the attestations that `--attest`, `--provenance` and `--sbom` ask for. */
function attestations(flags: BuildFlags): Map<string, string> {
  const attests = new Map<string, string>();
  for (const spec of flags.attest) {
    const fields = spec.split(',');
    const type = fields.find(field => field.startsWith('type='))?.slice('type='.length);
    if (type !== 'provenance' && type !== 'sbom') {
      throw new UsageError(`--attest ${spec}: expected type=provenance or type=sbom`);
    }
    attests.set(type, fields.filter(field => !field.startsWith('type=')).join(','));
  }
  for (const type of ['provenance', 'sbom'] as const) {
    const value = flags[type];
    if (value === undefined) continue;
    if (/^(0|f|false)$/i.test(value)) attests.set(type, 'disabled=true');
    else if (/^(1|t|true)$/i.test(value)) attests.set(type, type === 'provenance' ? 'mode=max' : '');
    else attests.set(type, value);
  }
  return attests;
}

async function sources(
  path: string,
  file: string | undefined,
): Promise<{ context: BuildSource; dockerfile: DockerfileSource }> {
  if (path === '-' && file === '-')
    throw new UsageError('invalid argument: can’t use stdin for both build context and dockerfile');
  if (path === '-') {
    const input = await readStandardInput();
    if (isTar(input)) {
      const dir = await unpackContext(input);
      return { context: { kind: 'directory', dir }, dockerfile: { kind: 'file', dir, filename: file ?? 'Dockerfile' } };
    }
    if (file !== undefined)
      throw new UsageError('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles');
    return { context: { kind: 'empty' }, dockerfile: { kind: 'text', text: input } };
  }
  const text = await dockerfileText(file);
  if (isRemote(path)) {
    const context = { kind: 'remote', url: path } as const;
    // What is no path of this machine is one of the context.
    if (!text && file !== undefined && isAbsolute(file))
      return { context, dockerfile: { kind: 'file', dir: dirname(file), filename: basename(file) } };
    return { context, dockerfile: text ?? { kind: 'in-context', filename: file ?? 'Dockerfile' } };
  }
  if (path === '') throw new UsageError('no build context: name a directory, such as . for the current one');
  const dir = resolve(path);
  const found = await stat(dir).catch(() => undefined);
  if (!found) throw new UsageError(`unable to prepare context: path ${JSON.stringify(path)} not found`);
  if (!found.isDirectory())
    throw new UsageError(`unable to prepare context: ${path} is no directory; name the directory that holds the files`);
  if (text) return { context: { kind: 'directory', dir }, dockerfile: text };
  const dockerfile = file === undefined ? resolve(dir, 'Dockerfile') : resolve(file);
  return {
    context: { kind: 'directory', dir },
    dockerfile: { kind: 'file', dir: dirname(dockerfile), filename: basename(dockerfile) },
  };
}

/** How long a server may take to send a Dockerfile, in milliseconds. */
const DOCKERFILE_PATIENCE = 60_000;

/** The Dockerfile of standard input or of a URL, where `--file` names one of them. @throws UsageError */
async function dockerfileText(file: string | undefined): Promise<DockerfileSource | undefined> {
  if (file === '-') return { kind: 'text', text: await readStandardInput() };
  if (file === undefined || !/^https?:\/\//.test(file)) return undefined;
  try {
    const response = await fetch(file, { signal: AbortSignal.timeout(DOCKERFILE_PATIENCE) });
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return { kind: 'text', text: await response.bytes() };
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw new UsageError(`--file ${file}: ${reason instanceof Error ? reason.message : String(reason)}`, { cause });
  }
}

/** Whether a context is a git or http URL rather than a directory (buildx's rule, first match wins). */
function isRemote(path: string): boolean {
  return /^(https?:\/\/|git:\/\/|ssh:\/\/|git@[^/]+:|github\.com\/)/.test(path);
}
