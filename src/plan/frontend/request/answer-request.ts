/** Requests of a client that want to know something of a Dockerfile and build nothing. */
import { goJsonIndented } from '../../../wire/oci/go-json.ts';
import { DockerfileError } from '../../dockerfile/error.ts';
import { renderWarnings, warningJson } from '../../dockerfile/lint/check-result.ts';
import type { LintWarning } from '../../dockerfile/lint/linter.ts';
import type { LocationJson } from '../../dockerfile/location-json.ts';
import { renderOutline } from '../../dockerfile/outline.ts';
import { renderTargets } from '../../dockerfile/targets.ts';
import type { FrontendHost } from '../host.ts';
import {
  checkDockerfile,
  type DockerfileCheck,
  type LoadedDockerfile,
  listDockerfileTargets,
  planTargetOnly,
} from '../plan-dockerfile.ts';
import { convertJson } from './convert-result.ts';
import { DESCRIBED_REQUESTS, renderRequests } from './describe-result.ts';
import { sourceInfoJson } from './graph-json.ts';

/** A request that the frontend does not know. */
export class UnsupportedRequestError extends Error {
  override readonly name = 'UnsupportedRequestError';
  readonly request: string;

  constructor(request: string) {
    super(`unsupported request ${request}`);
    this.request = request;
  }
}

/** What a request comes to. */
export interface RequestAnswer {
  /** `result.json`, `version`, and where there are such `result.txt` and `result.statuscode`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The file that was read; none for a request that reads none. */
  readonly dockerfile: LoadedDockerfile | undefined;
  /** What build checks found on the way; those of a check are in its result. */
  readonly warnings: readonly LintWarning[];
}

/**
 * Answers the request that the option `requestid` names, as BuildKit's Dockerfile frontend does.
 *
 * Throws UnsupportedRequestError, and what planning a Dockerfile throws.
 */
export async function answerRequest(
  host: FrontendHost,
  options: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<RequestAnswer> {
  const request = options.get('requestid') ?? '';
  switch (request) {
    case 'frontend.lint':
      return answerCheck(await checkDockerfile(host, options, signal));
    case 'frontend.outline': {
      const { dockerfile, outline, warnings } = await planTargetOnly(host, options, signal);
      const json = { ...outline, sources: [base64(dockerfile.data)] };
      return { metadata: results('1.0.0', json, renderOutline(outline)), dockerfile, warnings };
    }
    case 'frontend.targets': {
      const { dockerfile, targets } = await listDockerfileTargets(host, options, signal);
      const json = { targets: targets.length === 0 ? null : targets, sources: [base64(dockerfile.data)] };
      return { metadata: results('1.0.0', json, renderTargets(targets)), dockerfile, warnings: [] };
    }
    case 'frontend.subrequests.describe':
      return {
        metadata: results('1.0.0', DESCRIBED_REQUESTS, renderRequests()),
        dockerfile: undefined,
        warnings: [],
      };
    case 'frontend.convertllb': {
      const { dockerfile, warnings, definition } = await planTargetOnly(host, options, signal);
      return { metadata: results('0.1.0', convertJson(definition()), undefined), dockerfile, warnings };
    }
    default:
      throw new UnsupportedRequestError(request);
  }
}

function answerCheck({ dockerfile, warnings, error }: DockerfileCheck): RequestAnswer {
  const json = {
    warnings: warnings.length === 0 ? null : warnings.map(warningJson),
    sources: [sourceInfoJson(dockerfile)],
    ...(error && { buildError: { message: error.message, location: errorLocation(error) } }),
  };
  const text = renderWarnings(dockerfile.filename, new TextDecoder().decode(dockerfile.data), warnings);
  const metadata = results('1.0.0', json, text);
  metadata.set('result.statuscode', warnings.length > 0 || error ? '1' : '0');
  return { metadata, dockerfile, warnings: [] };
}

/** All lines that an error names, each once. */
function errorLocation(error: Error): LocationJson {
  const lines = new Set<number>();
  if (error instanceof DockerfileError) {
    for (const { start, end } of error.locations)
      for (let line = start; line <= Math.max(start, end); line++) lines.add(line);
  }
  if (lines.size === 0) return {};
  const ranges = [...lines].sort((a, b) => a - b).map(line => (line === 0 ? {} : { line }));
  return { ranges: ranges.map(position => ({ start: position, end: position })) };
}

function results(version: string, json: unknown, text: string | undefined): Map<string, string> {
  const metadata = new Map([['result.json', goJsonIndented(json)]]);
  if (text !== undefined) metadata.set('result.txt', text);
  return metadata.set('version', version);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
