/** Bills of materials: the program that lists what a tree of files is made of, as a step of the graph. */

import { parseGoBool } from '../../wire/go-bool.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatReference, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import { parseCsvRecord } from '../dockerfile/csv.ts';
import { SCAN_CONTEXT, SCAN_STAGE } from '../dockerfile/sbom-args.ts';
import { compareBytewise } from '../llb/order.ts';
import { image, marshal, run, type State, scratch } from '../llb/state.ts';
import type { GraphOptions } from '../llb/vertex.ts';
import type { FrontendHost } from './host.ts';
import { parseImage } from './image-draft.ts';
import { FrontendOptionError, type FrontendOptions } from './options.ts';
import type { PlanContext } from './plan-context.ts';
import { reachableFrom, type StageState } from './stage.ts';

/** What BuildKit scans with when the client names nothing else. */
const DEFAULT_GENERATOR = 'docker/buildkit-syft-scanner:stable-1';
const SOURCES = '/run/src';
const DESTINATION = '/run/out/';
/** The name of the scan of the result itself. */
export const CORE_SCAN = 'sbom';

/** A program that scans trees, and how it is asked to (BuildKit, docs/attestations/sbom-protocol.md). */
export interface SbomScanner {
  /** As it was looked up, normalised. */
  readonly reference: string;
  readonly platform: Platform;
  readonly args: readonly string[];
  /** Of its image. */
  readonly env: ReadonlyMap<string, string>;
  /** What the client tells it, by variable. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly dir: string;
}

/** What is scanned: the result, and further trees by name. */
export interface ScanTargets {
  readonly core: State;
  readonly extras: ReadonlyMap<string, State>;
}

/** The scanner that a client asks for, by the options of a frontend, and what the scanner is told. Throws FrontendOptionError. */
export function sbomOptions(
  raw: ReadonlyMap<string, string>,
): { readonly generator: string; readonly parameters: ReadonlyMap<string, string> } | undefined {
  const asked = raw.get('attest:sbom') ?? raw.get('build-arg:BUILDKIT_ATTEST_SBOM');
  if (asked === undefined) return undefined;
  const attributes = new Map([['generator', DEFAULT_GENERATOR]]);
  for (const field of asked === '' ? [] : parseCsvRecord(asked)) {
    const equals = field.indexOf('=');
    if (equals < 0) attributes.set(field, '');
    else attributes.set(field.slice(0, equals), field.slice(equals + 1));
  }
  const { generator = '', ...parameters } = Object.fromEntries(attributes);
  if (generator === '') throw new FrontendOptionError('sbom generator cannot be empty');
  try {
    return {
      generator: formatReference(withDefaultTag(parseReference(generator))),
      parameters: new Map(Object.entries(parameters)),
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FrontendOptionError(`failed to parse sbom scanner ${generator}: ${reason}`, { cause });
  }
}

/**
 * Looks up the scanner that a client asks for; undefined when it asks for none. Throws FrontendOptionError, and what the host
 * rejects with.
 */
export async function lookUpScanner(
  host: Pick<FrontendHost, 'resolveImageConfig' | 'buildPlatforms'>,
  { raw, resolveMode }: Pick<FrontendOptions, 'raw' | 'resolveMode'>,
  signal: AbortSignal,
): Promise<SbomScanner | undefined> {
  const asked = sbomOptions(raw);
  if (asked === undefined) return undefined;
  const { generator, parameters } = asked;
  const [platform] = host.buildPlatforms;
  const found = await host.resolveImageConfig(
    { ref: generator, platform, resolveMode, logName: `resolve image config for docker-image://${generator}` },
    signal,
  );
  const { entrypoint = [], cmd = [], env, workingDir } = parseImage(found.config).config;
  const args = [...entrypoint, ...cmd];
  if (args.length === 0) throw new FrontendOptionError(`scanner ${found.ref} does not have cmd`);
  const told = [...parameters].map(([key, value]): [string, string] => [`BUILDKIT_SCAN_${key}`, value]);
  return {
    reference: found.ref,
    platform,
    args,
    env,
    // BuildKit gives them in random order.
    parameters: new Map(told.sort(([a], [b]) => compareBytewise(a, b))),
    dir: workingDir,
  };
}

/**
 * The graph whose result is the directory that a scanner writes its statements into.
 *
 * @param name - what progress calls the result, `linux/amd64`
 * @param ignoreCache - whether the scanner runs even if its result is in a cache
 */
export function scanDefinition(
  { reference, platform, args, env, parameters, dir }: SbomScanner,
  { core, extras }: ScanTargets,
  { name, ignoreCache }: { readonly name: string; readonly ignoreCache: boolean },
  options: GraphOptions,
): Definition {
  const protocol = {
    BUILDKIT_SCAN_DESTINATION: DESTINATION,
    BUILDKIT_SCAN_SOURCE: `${SOURCES}/core/${CORE_SCAN}`,
    ...(extras.size > 0 ? { BUILDKIT_SCAN_SOURCE_EXTRAS: `${SOURCES}/extras` } : {}),
  };
  const { mounts } = run(image(reference, { platform }), args, {
    name: `[${name}] generating sbom using ${reference}`,
    dir,
    env: { ...Object.fromEntries(env), ...protocol, ...Object.fromEntries(parameters) },
    ...(ignoreCache ? { ignoreCache } : {}),
    mounts: [
      { dest: '/tmp', tmpfs: {} },
      { dest: `${SOURCES}/core/${CORE_SCAN}`, source: core, readonly: true },
      ...[...extras].map(([extra, source]) => ({
        dest: `${SOURCES}/extras/${CORE_SCAN}-${extra}`,
        source,
        readonly: true,
      })),
      { dest: DESTINATION },
    ],
  });
  return marshal(mounts.at(-1) ?? scratch, options);
}

/** What the Dockerfile asks to be scanned beside the target: its context and other stages (`BUILDKIT_SBOM_SCAN_…`). */
export function scanTargets(context: PlanContext, target: StageState): ScanTargets & { readonly ignoreCache: boolean } {
  const stateOf = ({ edge, filesPlatform: platform }: Pick<StageState, 'edge' | 'filesPlatform'>): State => ({
    ...scratch,
    edge,
    ...(platform === undefined ? {} : { platform }),
  });
  const extras = new Map<string, State>();
  if (asks(context, target, SCAN_CONTEXT) && context.contextEdge !== undefined)
    extras.set('context', { ...scratch, edge: context.contextEdge });
  let { ignoreCache } = target;
  for (const stage of reachableFrom(target)) {
    if (stage === target || stage.isImageOnly || !asks(context, stage, SCAN_STAGE)) continue;
    extras.set(stage.name, stateOf(stage));
    ignoreCache ||= stage.ignoreCache;
  }
  return { core: stateOf(target), extras, ignoreCache };
}

function asks({ globalArgs }: PlanContext, { name, args }: StageState, key: string): boolean {
  const value = args.findLast(arg => arg.key === key && arg.value !== undefined)?.value ?? globalArgs.get(key);
  if (value === undefined) return false;
  return parseGoBool(value) ?? value.split(',').includes(name);
}
