import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { runLegacyBuild } from '../../engine/legacy/build.ts';
import { type LegacyContext, openLegacyContext } from '../../engine/legacy/context.ts';
import { LegacyBuildError } from '../../engine/legacy/error.ts';
import type { LegacyBuildRequest } from '../../engine/legacy/request.ts';
import { enterPrivateMountNamespace, inPrivateMountNamespace } from '../../host/system/namespace.ts';
import { roundUp, TAR_BLOCK } from '../../store/content/tar-header.ts';
import { parsePlatform } from '../../wire/oci/platform.ts';
import { openEngine } from '../builder/engine.ts';
import type { BuildRequest } from '../builder/request.ts';
import { type BuildFlags, buildRequest } from './build-request.ts';
import { UsageError } from './errors.ts';
import { interruptSignal } from './interrupt.ts';
import { formatSize } from './legacy-size.ts';

/** The flags of `outcrop build --legacy`. */
export interface LegacyFlags extends BuildFlags {
  readonly legacy?: true;
  readonly 'rm=false'?: true;
  readonly forceRm?: true;
  readonly squash?: true;
}

/** What a shell reports of a program that a closed pipe ended. */
const CLOSED_OUTPUT = 141;

/**
 * Runs `outcrop build --legacy`: the builder that docker had before BuildKit, with its output.
 * @returns the exit code: 0, that of a step that failed, 1 for any other failure, 130 for an interrupted build, 141 when
 * nobody reads its output any more.
 * @throws UsageError for flags that cannot be obeyed.
 */
export async function runLegacy(path: string, flags: LegacyFlags): Promise<number> {
  refuseFlags(flags);
  // Before anything asynchronous runs: threads that exist already would stay outside the engine's mount namespace.
  if (!inPrivateMountNamespace()) enterPrivateMountNamespace();
  await using stack = new AsyncDisposableStack();
  // What `docker build` takes and the legacy builder never looked at is not looked at here either.
  const wanted = await buildRequest(path, { ...flags, cacheFrom: [], output: [], secret: [], ssh: [] });
  using interrupt = interruptSignal();
  const closed = new AbortController();
  // Nobody reads on: the build ends, as docker's does.
  process.stdout.on('error', error => closed.abort(error));
  const signal = AbortSignal.any([interrupt.signal, closed.signal]);
  const printed: (string | Uint8Array)[] = [];
  const write = (data: string | Uint8Array) => void (flags.quiet ? printed.push(data) : process.stdout.write(data));
  try {
    const request = await legacyRequest(wanted, flags, stack);
    // Where there is no context, the Dockerfile is all that is sent.
    const alone = wanted.context.kind === 'empty' ? TAR_BLOCK + roundUp(request.dockerfile.length) : 0;
    write(`Sending build context to Docker daemon  ${formatSize(request.context.size() + alone)}\r\r\n`);
    const engine = stack.use(await openEngine({}, signal));
    const { imageID } = await runLegacyBuild(engine, request, write, signal);
    if (flags.iidfile !== undefined) await writeFile(flags.iidfile, imageID);
    if (flags.quiet) process.stdout.write(`${imageID}\n`);
    return 0;
  } catch (error) {
    for (const data of printed) process.stderr.write(data);
    if (closed.signal.aborted) return CLOSED_OUTPUT;
    if (signal.aborted) {
      process.stderr.write('context canceled\n');
      return 130;
    }
    if (!(error instanceof LegacyBuildError)) throw error;
    process.stderr.write(`${error.isRefusal ? 'Error response from daemon: ' : ''}${error.message}\n`);
    return error.exitCode;
  }
}

function refuseFlags(flags: LegacyFlags): void {
  if (flags.squash) {
    throw new UsageError('--squash is an experiment of the Docker daemon: build FROM scratch and COPY --from instead');
  }
  const given: readonly (readonly [flag: string, isGiven: boolean])[] = [
    ['--allow', flags.allow.length > 0],
    ['--annotation', flags.annotation.length > 0],
    ['--attest', flags.attest.length > 0 || flags.provenance !== undefined || flags.sbom !== undefined],
    ['--build-context', flags.buildContext.length > 0],
    ['--builder', (flags.builder?.length ?? 0) > 0],
    ['--cache-to', flags.cacheTo.length > 0],
    ['--call', flags.call !== 'build' || flags.check === true],
    ['--cold-mounts', flags.coldMounts === true],
    ['--load', flags.load === true],
    ['--metadata-file', flags.metadataFile !== undefined],
    ['--no-cache-filter', flags.noCacheFilter.length > 0],
    ['--push', flags.push === true],
  ];
  const refused = given.find(([, isGiven]) => isGiven)?.[0];
  if (refused !== undefined) {
    throw new UsageError(`${refused}: the legacy builder does not have it; build without --legacy`);
  }
}

/** What the legacy builder makes of a request. @throws UsageError for what it cannot do */
export async function legacyRequest(
  wanted: BuildRequest,
  flags: Pick<LegacyFlags, 'cacheFrom' | 'forceRm' | 'rm=false'>,
  stack: AsyncDisposableStack,
): Promise<LegacyBuildRequest> {
  const [platform, another] = wanted.platforms;
  if (another !== undefined) throw new UsageError('--platform: the legacy builder builds for one platform at a time');
  const { context, dockerfile, dockerfileName } = await openSources(wanted, stack);
  const cacheFrom = flags.cacheFrom
    .flatMap(list => list.split(','))
    .map(spec => spec.replace(/^type=registry,ref=/, ''));
  return {
    context,
    dockerfile,
    dockerfileName,
    target: wanted.target,
    buildArgs: wanted.buildArgs,
    labels: wanted.labels,
    tags: wanted.tags,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    noCache: wanted.noCache === 'all',
    cacheFrom: cacheFrom.length === 0 ? undefined : cacheFrom,
    pull: wanted.pull,
    rm: flags['rm=false'] !== true,
    forceRm: flags.forceRm === true,
    run: {
      network: wanted.network === 'host' || wanted.network === 'none' ? wanted.network : 'default',
      extraHosts: wanted.addHosts.map(entry => {
        const equals = entry.indexOf('=');
        return { host: entry.slice(0, equals), ip: entry.slice(equals + 1) };
      }),
      ulimits: wanted.ulimits.map(readUlimit),
      cgroupParent: wanted.cgroupParent,
      shmSize: wanted.shmSize,
    },
  };
}

async function openSources(
  { context, dockerfile }: BuildRequest,
  stack: AsyncDisposableStack,
): Promise<Pick<LegacyBuildRequest, 'context' | 'dockerfile' | 'dockerfileName'>> {
  if (context.kind === 'remote' || dockerfile.kind === 'in-context') {
    throw new UsageError('--legacy builds directories and archives; fetch the repository first, or build without it');
  }
  if (dockerfile.kind === 'text') {
    return {
      context: await openContext(context, undefined, stack),
      dockerfile: dockerfile.text,
      dockerfileName: 'Dockerfile',
    };
  }
  const file = join(dockerfile.dir, dockerfile.filename);
  let text: Uint8Array;
  try {
    text = readFileSync(file);
  } catch (cause) {
    throw new UsageError(
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${file}: no such file or directory`,
      { cause },
    );
  }
  const inContext = context.kind === 'directory' ? relative(context.dir, file) : '..';
  const name = inContext.startsWith('..') ? undefined : inContext;
  return {
    context: await openContext(context, name, stack),
    dockerfile: text,
    dockerfileName: name ?? dockerfile.filename,
  };
}

async function openContext(
  context: Exclude<BuildRequest['context'], { readonly kind: 'remote' }>,
  dockerfile: string | undefined,
  stack: AsyncDisposableStack,
): Promise<LegacyContext> {
  if (context.kind === 'directory') return openLegacyContext(context.dir, dockerfile);
  const dir = await mkdtemp(join(tmpdir(), 'outcrop-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  return openLegacyContext(dir);
}

/** `nofile=1024:2048`; one number is both limits. */
function readUlimit(text: string): { readonly name: string; readonly soft: number; readonly hard: number } {
  const [name = '', limits = ''] = text.split('=');
  const [soft = '', hard = soft] = limits.split(':');
  return { name, soft: Number(soft), hard: Number(hard) };
}
