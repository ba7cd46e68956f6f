import { parseGitReference } from '../../plan/llb/git-url.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { redactUrl } from '../source/source-key.ts';
import { jsonList, jsonMap, jsonObject, jsonText } from './json-text.ts';
import type { CapturedID, ProvenanceCapture } from './provenance-capture.ts';
import { digestsJson, gitMaterial, httpMaterial, type Material } from './provenance-materials.ts';

/** A request to a frontend. */
export interface FrontendCall {
  /** `dockerfile.v0`; empty when the client itself drives the build. */
  readonly frontend: string;
  /** As the client sends them. */
  readonly options: ReadonlyMap<string, string>;
  /** The calls that made graphs which this one was given, by the names it was given them under. */
  readonly inputs?: ReadonlyMap<string, FrontendCall>;
}

/** Where the Dockerfile came from. */
export interface ConfigSource extends Partial<Material> {
  readonly path?: string;
}

/** A call as provenance tells it. */
interface ToldCall {
  readonly source: ConfigSource;
  readonly frontend: string;
  readonly options: ReadonlyMap<string, string>;
  readonly inputs: ReadonlyMap<string, ToldCall>;
}

/** The request of a build as provenance tells it. */
export interface ToldRequest extends ToldCall {
  readonly secrets: readonly CapturedID[];
  readonly ssh: readonly CapturedID[];
  readonly locals: readonly string[];
  /** What the client asked for, where that is not the request itself. */
  readonly root: ToldCall | undefined;
  readonly compatibilityVersion: number;
}

/** Options that only say how this machine builds. */
const HOST_OPTIONS = new Set(['cgroup-parent', 'image-resolve-mode', 'platform', 'cache-imports']);

/** The compatibility version that the formats here belong to. */
const COMPATIBILITY_VERSION = 30;

/**
 * Tells a request: without the options that are the machine's own, credentials masked, context and file name moved to where
 * the Dockerfile came from.
 * @param root what the client asked for, where a frontend was called on its behalf
 */
export function tellRequest(
  call: FrontendCall,
  root: FrontendCall | undefined,
  capture: ProvenanceCapture,
): ToldRequest {
  const told = tellCall(call, capture);
  const toldRoot = root && tellCall(root, capture);
  return {
    ...told,
    options: new Map([...told.options].filter(([name]) => !name.startsWith('vcs:'))),
    secrets: capture.secrets,
    ssh: capture.ssh,
    locals: capture.locals,
    root: toldRoot && callJson(toldRoot) !== callJson(told) ? toldRoot : undefined,
    compatibilityVersion: COMPATIBILITY_VERSION,
  };
}

/** What a client says about the version control of the context, by name; undefined when it says nothing. */
export function vcsJson({ options }: FrontendCall): string | undefined {
  const entries: [string, string][] = [];
  for (const [name, value] of options) {
    if (!name.startsWith('vcs:') || value === '') continue;
    entries.push([name.slice('vcs:'.length), goJson(name === 'vcs:source' ? redactUrl(value) : value)]);
  }
  return jsonMap(entries);
}

/** Takes out what mode `min` does not tell: build arguments, labels, secrets and agents. Says whether options were left out. */
export function scrubRequest(request: ToldRequest): { readonly request: ToldRequest; readonly incomplete: boolean } {
  const own = scrubCall(request);
  const root = request.root && scrubCall(request.root);
  return {
    request: { ...request, ...own.call, secrets: [], ssh: [], root: root?.call },
    incomplete: own.incomplete || (root?.incomplete ?? false),
  };
}

/** The JSON of a request. */
export function requestJson(request: ToldRequest): string {
  return jsonObject({
    frontend: jsonText(request.frontend),
    args: optionsJson(request.options),
    secrets: idsJson(request.secrets),
    ssh: idsJson(request.ssh),
    locals: jsonList(request.locals.map(name => goJson({ name }))),
    inputs: inputsJson(request.inputs),
    root: request.root && callJson(request.root),
    compatibilityVersion: String(request.compatibilityVersion),
  });
}

/** The JSON of where a Dockerfile came from. @param path the name of the member that holds the path */
export function sourceJson(source: ConfigSource, path: 'path' | 'entryPoint'): string {
  return jsonObject({
    uri: jsonText(source.uri ?? ''),
    digest: digestsJson(source.digest),
    [path]: jsonText(source.path ?? ''),
  });
}

function callJson(call: ToldCall): string {
  const request = jsonObject({
    frontend: jsonText(call.frontend),
    args: optionsJson(call.options),
    inputs: inputsJson(call.inputs),
  });
  return jsonObject({ configSource: sourceJson(call.source, 'path'), request });
}

function inputsJson(inputs: ReadonlyMap<string, ToldCall>): string | undefined {
  return jsonMap([...inputs].map(([name, call]) => [name, callJson(call)]));
}

function optionsJson(options: ReadonlyMap<string, string>): string | undefined {
  return jsonMap([...options].map(([name, value]) => [name, goJson(value)]));
}

function idsJson(ids: readonly CapturedID[]): string | undefined {
  return jsonList(ids.map(({ id, optional }) => goJson({ id, optional: optional || undefined })));
}

function scrubCall(call: ToldCall): { readonly call: ToldCall; readonly incomplete: boolean } {
  const options = new Map([...call.options].filter(([name]) => !/^(build-arg|label):/.test(name)));
  const inputs = [...call.inputs].map(([name, input]) => [name, scrubCall(input)] as const);
  const { source, frontend } = call;
  return {
    call: { source, frontend, options, inputs: new Map(inputs.map(([name, scrubbed]) => [name, scrubbed.call])) },
    incomplete: options.size < call.options.size || inputs.some(([, { incomplete }]) => incomplete),
  };
}

function tellCall(call: FrontendCall, capture: ProvenanceCapture): ToldCall {
  const contextKey = call.options.get('contextkey') || 'context';
  const options = new Map<string, string>();
  for (const [name, value] of call.options) {
    if (HOST_OPTIONS.has(name) || name.startsWith('attest:')) continue;
    const isContext = name === contextKey || name.startsWith('context:');
    options.set(name, isContext ? redactUrl(value) : value);
  }
  const given = call.options.get('contextkey')
    ? contextKey
    : options.get('input:context')
      ? 'input:context'
      : contextKey;
  const context = take(options, given);
  const path = take(options, 'filename');
  return {
    source: { ...(context && findMaterial(context, capture)), ...(path && { path }) },
    frontend: call.frontend,
    options,
    inputs: new Map([...(call.inputs ?? [])].map(([name, input]) => [name, tellCall(input, capture)])),
  };
}

function take(options: Map<string, string>, name: string): string | undefined {
  const value = options.get(name);
  if (value) options.delete(name);
  return value;
}

/** The material that a context is, with the directory inside it in its address. */
function findMaterial(context: string, { git, http }: ProvenanceCapture): Material {
  const { remote = '', ref = '', subdir = '' } = gitReference(context) ?? {};
  const fragment = ref === '' ? '' : `#${ref}`;
  // `github.com/…` is fetched with https.
  const found = git.find(({ url }) => url === `${remote}${fragment}` || url === `https://${remote}${fragment}`);
  const download = http.find(({ url }) => url === context);
  if (found && remote !== '') {
    const inside = subdir === '' ? '' : `${ref === '' ? '#' : ''}:${subdir}`;
    return { ...gitMaterial(found), uri: `${found.url}${inside}` };
  }
  return download ? httpMaterial(download) : { uri: redactUrl(context) };
}

function gitReference(text: string) {
  try {
    return parseGitReference(text);
  } catch {
    return undefined;
  }
}
