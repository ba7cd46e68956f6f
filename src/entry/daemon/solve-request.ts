import type { CacheRequest } from '../../engine/cache/remote/port.ts';
import { DeviceGrantError, readDeviceGrant } from '../../engine/ops/devices.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { CacheOptionsEntry, SolveRequest } from '../../wire/proto/gen/control/control_pb.ts';
import type { Policy } from '../../wire/proto/gen/control/sourcepolicy_pb.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';

/** One exporter that a client asks for. */
export interface ExporterRequest {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A solve as its client means it, the older forms of the request translated (control-api facts, 4.1). */
export interface ClientSolve {
  readonly ref: string;
  /** The session of the client; empty for none. */
  readonly session: string;
  readonly definition: Definition | undefined;
  /** Empty when the client runs the frontend itself. */
  readonly frontend: string;
  readonly frontendOptions: ReadonlyMap<string, string>;
  readonly frontendInputs: ReadonlyMap<string, Definition>;
  readonly exporters: readonly ExporterRequest[];
  readonly cacheExports: readonly CacheRequest[];
  readonly cacheImports: readonly CacheRequest[];
  readonly entitlements: ReadonlySet<string>;
  /** Whether the client is asked for further exporters once the result is known. */
  readonly asksForExporters: boolean;
  readonly isInternal: boolean;
  readonly policies: readonly Policy[];
  /** The session whose client decides on sources; empty where none does. */
  readonly policySession: string;
}

const COMPATIBILITY_VERSIONS = [10, 20, 30];
const NEWEST_COMPATIBILITY = 30;
const ENTITLEMENTS = ['network.host', 'security.insecure', 'device'];

/**
 * Reads a request.
 * @param allowed the entitlements that the daemon grants
 * @throws StatusError with BuildKit's text
 */
export function readSolveRequest(request: SolveRequest, allowed: ReadonlySet<string>): ClientSolve {
  checkCompatibility(Number(request.CompatibilityVersion));
  // Whoever asks for it wants steps to be held to the policy: to run them without would be worse than not to.
  if (request.ProxyNetwork) throw refuse('proxy network provider is not available');
  const options = new Map(Object.entries(request.FrontendAttrs));
  const epoch = exportEpoch(options.get('build-arg:SOURCE_DATE_EPOCH'));
  const frontend = builtInFrontend(request.Frontend, options);
  if (request.SourcePolicy !== undefined && request.SourcePolicy.version > 1n)
    throw refuse(`unknown policy version ${request.SourcePolicy.version}`);
  return {
    ref: request.Ref,
    session: request.Session,
    definition: request.Definition,
    frontend,
    frontendOptions: options,
    frontendInputs: new Map(Object.entries(request.FrontendInputs)),
    exporters: exportersOf(request).map(({ type, attributes }) => ({
      type,
      attributes:
        epoch === undefined || 'source-date-epoch' in attributes
          ? attributes
          : { ...attributes, 'source-date-epoch': epoch },
    })),
    ...cachesOf(request),
    entitlements: grant(request.Entitlements, allowed),
    asksForExporters: request.EnableSessionExporter,
    isInternal: request.Internal,
    policies: request.SourcePolicy === undefined ? [] : [request.SourcePolicy],
    policySession: request.SourcePolicySession,
  };
}

/** A cache as a request names it. */
export function cacheRequest({ Type, Attrs }: Pick<CacheOptionsEntry, 'Type' | 'Attrs'>): CacheRequest {
  return { type: Type, attributes: Attrs };
}

/** The caches that the options of a frontend name (gateway facts, 6.1). Throws StatusError. */
export function frontendCaches(options: ReadonlyMap<string, string>): CacheRequest[] {
  const references = (options.get('cache-from') ?? '').split(',').filter(Boolean);
  const named = references.map(ref => ({ type: 'registry', attributes: { ref } }));
  const text = options.get('cache-imports');
  if (!text) return named;
  try {
    const entries: unknown = JSON.parse(text);
    if (!Array.isArray(entries)) throw new TypeError('not a list');
    return [
      ...entries.map((entry: { readonly Type?: string; readonly Attrs?: Readonly<Record<string, string>> | null }) => ({
        type: entry.Type ?? '',
        attributes: entry.Attrs ?? {},
      })),
      ...named,
    ];
  } catch (cause) {
    throw refuse(`failed to unmarshal cache-imports: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function checkCompatibility(version: number): void {
  if (version === 0 || COMPATIBILITY_VERSIONS.includes(version)) return;
  throw refuse(
    version > NEWEST_COMPATIBILITY
      ? `unsupported compatibility-version ${version}: upgrade buildkit (max supported: ${NEWEST_COMPATIBILITY})`
      : `unsupported compatibility-version ${version} (supported: [${COMPATIBILITY_VERSIONS.join(' ')}])`,
  );
}

/** The epoch that exporters take; one that means something else is for the frontend only. */
function exportEpoch(text: string | undefined): string | undefined {
  return text !== undefined && /^-?\d*$/.test(text) ? text : undefined;
}

/** `gateway.v0` with the name of the built-in frontend for its image means the built-in frontend. */
function builtInFrontend(frontend: string, options: Map<string, string>): string {
  if (frontend !== 'gateway.v0' || options.get('source') !== 'dockerfile.v0') return frontend;
  if ([...options.keys()].some(key => /^context:dockerfile\.v0(::|$)/.test(key))) return frontend;
  options.delete('source');
  return 'dockerfile.v0';
}

function exportersOf(request: SolveRequest): ExporterRequest[] {
  if (request.Exporters.length > 0)
    return request.Exporters.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs }));
  if (request.ExporterDeprecated === '') return [];
  return [{ type: request.ExporterDeprecated, attributes: request.ExporterAttrsDeprecated }];
}

function cachesOf({ Cache: cache }: SolveRequest): Pick<ClientSolve, 'cacheExports' | 'cacheImports'> {
  if (cache === undefined) return { cacheExports: [], cacheImports: [] };
  const cacheExports = cache.Exports.map(cacheRequest);
  if (cacheExports.length === 0 && cache.ExportRefDeprecated !== '') {
    cacheExports.push({
      type: 'registry',
      attributes: { ...cache.ExportAttrsDeprecated, ref: cache.ExportRefDeprecated },
    });
  }
  return {
    cacheExports,
    cacheImports: [
      ...cache.Imports.map(cacheRequest),
      ...cache.ImportRefsDeprecated.map(ref => ({ type: 'registry', attributes: { ref } })),
    ],
  };
}

function grant(wanted: readonly string[], allowed: ReadonlySet<string>): ReadonlySet<string> {
  for (const entitlement of wanted) {
    const name = nameOf(entitlement);
    if (!ENTITLEMENTS.includes(name)) throw refuse(`unknown entitlement ${entitlement}`);
    if (!allowed.has(name)) throw refuse(`granting entitlement ${name} is not allowed by build daemon configuration`);
  }
  return new Set(wanted);
}

/** Only devices are named further. */
function nameOf(entitlement: string): string {
  try {
    return readDeviceGrant(entitlement) === undefined ? entitlement : 'device';
  } catch (cause) {
    if (cause instanceof DeviceGrantError) throw refuse(cause.message);
    throw cause;
  }
}

function refuse(text: string): StatusError {
  return new StatusError(Code.unknown, text);
}
